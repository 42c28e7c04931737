"""The committed demo project: its prompts, completions and rankings fit together, and say who made them."""

import json
from collections import Counter
from pathlib import Path

import pytest

from annotation.demo import load_demo
from annotation.models import Completion, Ranking

DEMO = Path(__file__).resolve().parents[2] / "annotation" / "demo"


def rows(name: str) -> list[dict]:
    return [json.loads(line) for line in (DEMO / name).read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def prompts():
    return rows("prompts.jsonl")


@pytest.fixture(scope="module")
def completions():
    return rows("completions.jsonl")


@pytest.fixture(scope="module")
def rankings():
    return rows("rankings.jsonl")


@pytest.fixture(scope="module")
def rounds(prompts):
    """The settings each prompt's completions were drawn with, by the prompt's id."""
    told = json.loads((DEMO / "settings.json").read_text("utf-8"))["rounds"]
    return {prompt["id"]: told[prompt["round"] - 1] for prompt in prompts}


def names(options: dict) -> list[str]:
    return [setting["name"] for setting in options["settings"]]


@pytest.fixture(scope="module")
def project():
    return json.loads((DEMO / "project.json").read_text("utf-8"))


def test_there_are_two_hundred_prompts_or_more_spread_over_the_projects_criteria(prompts, project):
    counts = Counter(prompt["criterion"] for prompt in prompts)
    assert set(counts) == {criterion["name"] for criterion in project["criteria"]}
    assert len(prompts) >= 200 and min(counts.values()) >= 60


def test_no_prompt_is_there_twice(prompts):
    assert len({prompt["id"] for prompt in prompts}) == len(prompts)
    assert len({json.dumps(prompt["messages"]) for prompt in prompts}) == len(prompts)


def test_two_settings_that_said_the_same_are_ranked_the_same(completions, rankings):
    text = {(row["id"], row["setting"]): row["text"] for row in completions}
    for ranking in rankings:
        said = {(text[ranking["id"], name], rank) for name, rank in ranking["ranks"].items()}
        assert len(said) == len({written for written, _ in said}), ranking["id"]


def test_every_prompt_is_a_short_chat_that_waits_for_an_answer(prompts):
    for prompt in prompts:
        roles = [message["role"] for message in prompt["messages"]]
        assert roles == (["user", "assistant"] * len(roles))[: len(roles)] and roles[-1] == "user", prompt["id"]
        assert sum(len(message["content"].split()) for message in prompt["messages"]) <= 60, prompt["id"]


def test_prompts_show_chats_code_mathematics_and_other_scripts(prompts):
    text = {prompt["id"]: "\n".join(message["content"] for message in prompt["messages"]) for prompt in prompts}
    assert sum(len(prompt["messages"]) > 1 for prompt in prompts) >= 3
    assert any("```" in body for body in text.values()) and any("$" in body for body in text.values())
    assert any("\u0600" <= letter <= "\u06ff" for body in text.values() for letter in body)


def test_every_prompt_has_one_completion_from_each_setting_of_its_round(prompts, completions, rounds):
    found = [(row["id"], row["setting"]) for row in completions]
    assert found == [(prompt["id"], name) for prompt in prompts for name in names(rounds[prompt["id"]])]
    assert all(len(set(names(options))) == 4 for options in rounds.values())


def test_a_cut_completion_says_so(completions, rounds):
    for row in completions:
        cut = row["tokens"] == rounds[row["id"]]["max_new_tokens"]
        assert row["finish_reason"] == ("length" if cut else "stop")


def test_a_hundred_and_fifty_prompts_or_more_are_ranked_and_others_wait_for_the_visitor(prompts, rankings):
    criterion = {prompt["id"]: prompt["criterion"] for prompt in prompts}
    ranked = Counter(criterion[ranking["id"]] for ranking in rankings)
    assert len({ranking["id"] for ranking in rankings}) == len(rankings) >= 150
    assert min(ranked.values()) >= 45 and len(prompts) - len(rankings) >= 20


def test_a_ranking_covers_every_completion_with_ranks_from_one_and_ties_allowed(rankings, rounds):
    for ranking in rankings:
        assert set(ranking["ranks"]) == set(ranking["ratings"]) == set(names(rounds[ranking["id"]])), ranking["id"]
        assert set(ranking["ranks"].values()) <= {1, 2, 3, 4}, ranking["id"]
        assert all(1 <= rating <= 7 for rating in ranking["ratings"].values()), ranking["id"]
        assert min(ranking["ranks"].values()) == 1 and ranking["comment"].strip(), ranking["id"]


def test_ranks_never_skip_a_place(rankings):
    for ranking in rankings:
        used = set(ranking["ranks"].values())
        assert used == set(range(1, len(used) + 1)), ranking["id"]


def test_ratings_never_contradict_the_ranks(rankings):
    for ranking in rankings:
        for one, rank in ranking["ranks"].items():
            for other, other_rank in ranking["ranks"].items():
                if rank < other_rank:
                    assert ranking["ratings"][one] >= ranking["ratings"][other], (ranking["id"], one, other)


def test_flags_are_the_ones_the_guidelines_explain(rankings, project):
    flags = {flag for ranking in rankings for flag in ranking["flags"]}
    assert flags <= {"all_bad", "unsure", "bad_prompt"}
    for name in ("All bad", "Unsure", "Bad prompt"):
        assert f"**{name}**" in project["guidelines"]


def test_the_labelers_account_says_that_it_is_a_language_model(project):
    about = project["labeler"]["about"]
    assert "language model" in about and "not human labels" in about
    assert about in (DEMO / "README.md").read_text("utf-8")


@pytest.mark.django_db
def test_loading_the_demo_twice_makes_it_once_with_the_rankings_and_the_prompts_that_wait(
    django_user_model, prompts, completions, rankings
):
    alice = django_user_model.objects.create(username="alice")
    project = load_demo(alice)
    assert load_demo(alice) == project
    assert project.prompts.count() == len(prompts)
    assert project.prompts.filter(open_slots=1).count() == len(prompts) - len(rankings)
    distinct = {(row["id"], row["text"]) for row in completions}
    assert Completion.objects.filter(prompt__project=project).count() == len(distinct)
    assert Ranking.objects.filter(prompt__project=project).count() == len(rankings)
