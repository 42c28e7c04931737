"""Comparison: several models answer one message, and a vote is a ranking like any other."""

import json

import pytest
from django.urls import reverse

from annotation.models import Project, Prompt, Ranking, Tally
from annotation.progress import progress
from tests.live import streamed
from training import comparing, serving
from training.comparing import NotComparable
from training.models import Comparison, Generation, ModelVersion

QUESTION = [{"role": "user", "content": "What is the capital of Peru?"}]


@pytest.fixture
def two(db):
    return [ModelVersion.objects.create(name=name, version=1, slug=f"{name}-v1") for name in ("small", "wide")]


@pytest.fixture
def answered(two, bob, project):
    """A comparison of bob's with two different answers."""
    comparison = comparing.start(bob, QUESTION, two, {"temperature": 0.5}, blind=False, project=project)
    for answer, text in zip(comparison.answers.all(), ("Lima.", "Cusco."), strict=True):
        answer.text = text
        answer.save()
    return comparison


def test_a_vote_is_a_ranking_in_the_project(answered, project, bob):
    ranking = comparing.vote(answered, "A", project)
    assert [(r.completion.text, r.rank) for r in ranking.ranked.all()] == [("Lima.", 1), ("Cusco.", 2)]
    assert (ranking.source, ranking.labeler, ranking.prompt.messages) == ("comparison", bob, QUESTION)
    assert (ranking.prompt.labels_given, ranking.prompt.open_slots) == (1, 0)
    assert Generation.objects.get(completion__text="Lima.").model.slug == "small-v1"
    tally = Tally.objects.get(project=project, labeler=bob)
    assert (tally.labels, tally.votes) == (1, 1)
    assert progress(project, bob)["done"] == 0  # nobody had asked for it


def test_voting_twice_keeps_one_ranking(answered, project):
    assert comparing.vote(answered, "A", project) == comparing.vote(answered, "B", project)
    assert Ranking.objects.count() == 1


def test_a_tie_and_both_bad_differ(answered, project):
    assert not comparing.vote(answered, "tie", project).all_bad
    answered.refresh_from_db()
    comparing.take_back(answered)
    answered.refresh_from_db()
    assert comparing.vote(answered, "bad", project).all_bad


def test_a_vote_taken_back_leaves_no_trace(answered, project, bob):
    comparing.vote(answered, "B", project)
    answered.refresh_from_db()
    comparing.take_back(answered)
    assert not Ranking.objects.exists() and not Prompt.objects.exists()
    assert Tally.objects.get(labeler=bob).labels == 0
    assert answered.answers.filter(text="Lima.").exists()


def test_equal_answers_must_share_a_rank(answered, project):
    answered.answers.update(text="Lima.")
    with pytest.raises(NotComparable, match="same"):
        comparing.vote(answered, "A", project)
    assert not Prompt.objects.exists()


def test_a_missing_answer_cannot_be_voted_on(answered, project):
    answered.answers.filter(column=1).update(text="")
    with pytest.raises(NotComparable, match="missing"):
        comparing.vote(answered, "A", project)


def test_one_model_or_five_cannot_be_compared(two, bob):
    for models in (two[:1], two * 3):
        with pytest.raises(NotComparable, match="two to four"):
            comparing.start(bob, QUESTION, models, {})


def test_the_next_turn_goes_on_from_the_chosen_answer(answered):
    made = comparing.follow_up(answered, 1, "Are you sure?")
    assert [turn["content"] for turn in made.messages] == [QUESTION[0]["content"], "Cusco.", "Are you sure?"]
    assert {a.model.slug for a in made.answers.all()} == {"small-v1", "wide-v1"}


def test_a_blind_page_names_no_model_before_the_vote(client, answered, project, bob):
    Comparison.objects.update(blind=True)
    client.force_login(bob)
    page = reverse("comparison", args=[answered.pk])
    assert "small v1" not in client.get(page).content.decode()
    client.post(reverse("comparison_vote", args=[answered.pk]), {"choice": "A", "project": project.slug})
    assert "small v1" in client.get(page).content.decode()


def test_somebody_elses_comparison_is_not_there(client, answered, carol):
    client.force_login(carol)
    for name in ("comparison", "comparison_vote", "comparison_run"):
        method = client.get if name == "comparison" else client.post
        assert method(reverse(name, args=[answered.pk])).status_code == 404


def test_a_vote_cannot_go_to_a_project_of_others(client, answered, bob):
    theirs = Project.objects.create(name="Theirs")
    client.force_login(bob)
    client.post(reverse("comparison_vote", args=[answered.pk]), {"choice": "A", "project": theirs.slug})
    assert not Ranking.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_model_that_says_nothing_is_told_apart_from_one_not_asked(client, answered, bob, monkeypatch):
    async def silence(*_, **__):
        yield {"finish_reason": "stop", "usage": {"completion_tokens": 1}}

    monkeypatch.setattr(serving, "stream", silence)
    client.force_login(bob)
    reply = client.post(reverse("comparison_answer", args=[answered.pk, 0]), {"again": "1"})
    assert "without a word" in json.loads(streamed(reply).splitlines()[-1])["error"]
    page = client.get(answered.get_absolute_url()).content.decode()
    assert page.count("data-answered") == 2 and "without a word" in page  # so that a reload does not ask again


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("served")
class TestWithARunningServer:
    """The same, with models that answer."""

    def ask(self, client, registered, project, **fields):
        chosen = [registered["small"].pk, registered["wide"].pk]
        sampling = {"temperature": 0.8, "top_p": 1, "max_tokens": 8, "seed": 3}
        form = {"message": "Say something.", "models": chosen, "project": project.pk} | sampling | fields
        return client.post(reverse("compare"), form)

    def test_answers_stream_and_are_kept_with_their_scores(self, client, registered, project, bob):
        client.force_login(bob)
        self.ask(client, registered, project, scorer=registered["taste"].pk)
        comparison = Comparison.objects.get()
        for column in (0, 1):
            reply = client.post(reverse("comparison_answer", args=[comparison.pk, column]))
            events = [json.loads(line) for line in streamed(reply).splitlines()]
            pieces = "".join(event.get("text", "") for event in events)
            answer = comparison.answers.get(column=column)
            assert answer.text == pieces != ""
            assert answer.score == events[-1]["score"]
            assert answer.tokens and answer.seconds > 0

    def test_without_javascript_one_button_gets_every_answer(self, client, registered, project, bob):
        client.force_login(bob)
        self.ask(client, registered, project)
        comparison = Comparison.objects.get()
        client.post(reverse("comparison_run", args=[comparison.pk]))
        assert all(answer.text for answer in comparison.answers.all())

    def test_a_model_that_is_not_served_says_so_in_its_column(self, client, registered, project, bob):
        ModelVersion.objects.filter(pk=registered["wide"].pk).update(slug="gone-v1")
        client.force_login(bob)
        self.ask(client, registered, project, blind=False)
        comparison = Comparison.objects.get()
        client.post(reverse("comparison_run", args=[comparison.pk]))
        assert "gone-v1" in comparison.answers.get(model=registered["wide"]).error
        assert comparison.answers.get(model=registered["small"]).text
