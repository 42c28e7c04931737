"""Comparison: several models answer one message, and a vote is a ranking like any other."""

import json
import threading
import time

import pytest
from django.db import connection
from django.urls import reverse

from annotation.models import Project, Prompt, Ranking, Tally
from annotation.progress import progress
from tests.live import streamed
from training import comparing, searching, serving
from training.comparing import NotComparable
from training.models import Comparison, Generation, ModelVersion, SearchRun, Strategy

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


def test_a_project_that_asks_for_steps_takes_no_vote(answered, traces):
    with pytest.raises(NotComparable, match="asks for steps"):
        comparing.vote(answered, "A", traces)


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


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("served")
class TestStrategies:
    """A way to search is chosen, asked and voted on as if it were a model."""

    @pytest.fixture
    def strategy(self, registered, bob):
        knobs = searching.KNOBS | {"n": 3, "max_tokens": 12}
        models = {"policy": registered["small"], "scorer": registered["taste"]}
        return Strategy.objects.create(
            name="small v1 · best of 3", strategy="best_of_n", settings=knobs, created_by=bob, **models
        )

    def ask(self, client, registered, project, strategy, **fields):
        form = {"message": "Say something.", "models": [registered["wide"].pk], "strategies": [strategy.pk]}
        form |= {"temperature": 0.8, "top_p": 1, "max_tokens": 8, "seed": 3, "project": project.pk} | fields
        client.post(reverse("compare"), form)
        comparison = Comparison.objects.get()
        return comparison, comparison.answers.get(strategy=strategy)

    def events(self, client, answer, **body):
        """What its column hears while a worker searches."""
        reply = client.post(reverse("comparison_answer", args=[answer.comparison_id, answer.column]), body)
        worker = threading.Thread(target=search_what_waits)
        worker.start()
        told = [json.loads(line) for line in streamed(reply).splitlines()]
        worker.join()
        return told

    def test_a_column_tells_its_progress_then_the_chosen_solution(self, client, registered, project, bob, strategy):
        client.force_login(bob)
        comparison, answer = self.ask(client, registered, project, strategy, blind="")
        events = self.events(client, answer)
        answer.refresh_from_db()
        assert "Waiting for a worker" in events[0]["progress"] and events[-1]["done"]
        assert answer.text == "".join(event.get("text", "") for event in events) != ""
        assert answer.search.status == "succeeded" and answer.tokens == answer.search.result["policy_tokens"]
        page = client.get(comparison.get_absolute_url()).content.decode()
        assert "small v1 · best of 3" in page and "its tree" in page
        tree = client.get(reverse("answer_search", args=[comparison.pk, answer.column]))
        assert tree.url == answer.search.get_absolute_url()

    def test_a_vote_on_it_is_a_ranking_that_names_the_strategy(self, client, registered, project, bob, strategy):
        client.force_login(bob)
        comparison, answer = self.ask(client, registered, project, strategy, blind="on")
        self.events(client, answer)
        comparison.answers.exclude(pk=answer.pk).update(text="Else.")
        ranking = comparing.vote(comparison, comparing.LETTERS[answer.column], project)
        best = ranking.ranked.get(rank=1).completion
        assert best.source == "small v1 · best of 3"
        generation = Generation.objects.get(completion=best)
        assert (generation.model, generation.sampling["strategy"]) == (registered["small"], "best_of_n")
        assert generation.sampling["n"] == 3

    def test_names_hidden_neither_progress_nor_tree_tell_which_is_searched(
        self, client, registered, project, bob, strategy
    ):
        client.force_login(bob)
        comparison, answer = self.ask(client, registered, project, strategy, blind="on")
        assert {event["progress"] for event in self.events(client, answer) if "progress" in event} == {"…"}
        page = client.get(comparison.get_absolute_url()).content.decode()
        assert "best of 3" not in page and "its tree" not in page
        assert client.get(reverse("answer_search", args=[comparison.pk, answer.column])).status_code == 404

    def test_a_search_that_is_stopped_ends(self, client, registered, project, bob, strategy):
        client.force_login(bob)
        _, answer = self.ask(client, registered, project, strategy)
        answer.search = searching.queue_search(
            bob, QUESTION, strategy.policy, strategy.scorer, "best_of_n", strategy.settings
        )
        answer.save()
        reply = client.post(reverse("comparison_answer", args=[answer.comparison_id, answer.column]), {"stop": "1"})
        assert reply.status_code == 204
        answer.search.refresh_from_db()
        assert answer.search.status == "cancelled"

    def test_asking_again_asks_the_same_strategy(self, client, registered, project, bob, strategy):
        client.force_login(bob)
        comparison, _ = self.ask(client, registered, project, strategy)
        client.post(reverse("comparison_retry", args=[comparison.pk]))
        again = Comparison.objects.first()
        assert again != comparison and comparing.entries(again).count(strategy) == 1

    def test_a_strategy_of_somebody_else_cannot_be_asked(self, client, registered, project, carol, strategy):
        client.force_login(carol)
        form = {"message": "Hello", "models": [registered["wide"].pk], "strategies": [strategy.pk]}
        client.post(reverse("compare"), form | {"temperature": 1, "top_p": 1, "max_tokens": 8})
        assert not Comparison.objects.exists()


def search_what_waits() -> None:
    """What a worker does with the searches in its queue, once the first has come."""
    until = time.monotonic() + 20
    while not (waiting := list(SearchRun.objects.filter(status="queued"))) and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.3)  # so that its page sees it wait
    for run in waiting:
        searching.run_search(run)
    connection.close()
