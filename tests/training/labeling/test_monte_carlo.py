"""Monte-Carlo labels: what they say of known errors, what they cost, how they end, and how they go on."""

import pytest
from django.utils import timezone

from annotation.models import StepLabels
from tests.training.labeling.conftest import ERRORS
from training import serving
from training.background import SILENT
from training.labeling import monte_carlo, runs
from training.labeling.kinds import BadLabeling
from training.models import StepLabelRun

pytestmark = pytest.mark.django_db(transaction=True)
SWEEP = {"n": 4, "temperature": 0.5}


def labels(source="adder-v1") -> list[StepLabels]:
    return list(StepLabels.objects.filter(kind="monte-carlo", source=source).order_by("prompt"))


def test_a_sweep_finds_each_first_error_and_says_how_sure_it_is(sums, adder, label):
    run = label("monte-carlo", adder, SWEEP)
    assert (run.status, run.done, run.total, run.message) == ("succeeded", 4, 4, "")
    expected = [[1] * 5 if first is None else [1] * first + [-1] * (5 - first) for first in ERRORS]
    assert [row.ratings for row in labels()] == expected
    assert labels()[0].scores == [1.0, 1.0, 0.0, 0.0, 0.0]
    assert labels()[0].errors[-1] == 0.0 and 0 < labels()[0].errors[0] < 0.2
    assert labels()[0].notes["2"] == "0 of 4 completions are right"
    assert run.report["cost"]["completions"] == 4 * 4 * 4 + 4, (
        "whole solutions need none; the problem alone is asked once"
    )
    assert (run.report["labeled"], run.report["steps"]) == (4, 20)


def test_a_binary_search_says_the_same_of_the_first_error_for_less(sums, adder, label):
    run = label("monte-carlo", adder, SWEEP | {"search": "bisect"})
    found = [row.ratings for row in labels()]
    assert found == [[1] * 5 if first is None else [1] * first + [-1] + [None] * (4 - first) for first in ERRORS]
    assert run.report["cost"]["completions"] <= 64 / 2
    asked = [row.scores for row in labels()]
    assert asked[1] == [None, None, None, None, 1.0], "a right solution is right without a single completion"


def test_a_run_cut_off_in_the_middle_goes_on_and_does_nothing_twice(sums, adder, traces, alice, monkeypatch):
    run = runs.queue_run(traces, "monte-carlo", adder, SWEEP, alice)
    monkeypatch.setattr(monte_carlo, "AT_ONCE", 1)
    monkeypatch.setattr(monte_carlo, "ROWS", 4)  # one prefix a request
    asked = serving.rollouts

    async def dies_at_the_seventh(*args, **kwargs):
        if len(adder.server.asked) == 6:
            raise KeyboardInterrupt
        return await asked(*args, **kwargs)

    monkeypatch.setattr(serving, "rollouts", dies_at_the_seventh)
    with pytest.raises(KeyboardInterrupt):
        runs.run_labeling(run)
    monkeypatch.setattr(serving, "rollouts", asked)
    assert len(labels()) == 1, "the first trace is stored; two steps of the second are known"
    first = labels()[0].pk
    StepLabelRun.objects.update(heartbeat=timezone.now() - 2 * SILENT)
    runs.run_labeling(StepLabelRun.objects.get())
    run.refresh_from_db()
    assert (run.status, run.done, len(adder.server.asked)) == ("succeeded", 4, 17)
    assert run.report["cost"]["completions"] == 68
    assert labels()[0].pk == first and len(labels()) == 4


def test_a_redelivered_message_does_not_run_twice(sums, adder, traces, alice):
    run = runs.queue_run(traces, "monte-carlo", adder, SWEEP, alice)
    from training.background import claim

    assert claim(run)
    runs.run_labeling(run)
    assert adder.server.asked == []


def test_the_same_source_again_is_refused_until_one_says_what_is_to_become_of_its_labels(sums, adder, label):
    label("monte-carlo", adder, SWEEP)
    with pytest.raises(runs.AlreadyLabeled, match="has labeled 4 traces here"):
        label("monte-carlo", adder, SWEEP)
    with pytest.raises(BadLabeling, match="labeled every trace already"):
        label("monte-carlo", adder, SWEEP, again="add")
    before = {row.pk for row in labels()}
    label("monte-carlo", adder, SWEEP | {"n": 2}, again="replace")
    assert len(labels()) == 4 and not before & {row.pk for row in labels()}
    label("monte-carlo", adder, SWEEP, name="second opinion")
    assert len(labels("second opinion")) == len(labels()) == 4


def test_only_what_is_missing_is_labeled_when_one_says_so(sums, adder, label):
    label("monte-carlo", adder, SWEEP, most=2)
    kept = {row.pk for row in labels()}
    run = label("monte-carlo", adder, SWEEP, again="add")
    assert (run.total, run.done) == (2, 2)
    assert len(labels()) == 4 and kept <= {row.pk for row in labels()}


def test_traces_without_a_reference_are_left_out_and_counted(sums, make_trace, adder, label):
    make_trace("No answer known", reference="")
    run = label("monte-carlo", adder, SWEEP)
    assert run.total == 4 and run.report["left_out"] == {"no reference answer": 1}


def test_without_any_reference_there_is_nothing_to_do(make_trace, adder, label):
    make_trace(reference="")
    with pytest.raises(BadLabeling, match="No trace has a reference answer"):
        label("monte-carlo", adder, SWEEP)


@pytest.mark.parametrize("search", ["sweep", "bisect"])
def test_a_model_that_cannot_solve_the_problem_says_nothing_of_its_steps(sums, adder, label, search):
    adder.server.lame = True
    run = label("monte-carlo", adder, SWEEP | {"search": search})
    assert run.report["unsaid"] == {monte_carlo.UNSOLVED: 3} and monte_carlo.UNSOLVED in run.message
    assert len(labels()) == 1, "of the right solution it is known that its end is right"


def test_a_model_that_never_answers_ends_the_run_with_what_to_do(sums, adder, label, monkeypatch):
    import httpx

    monkeypatch.setattr(serving, "PATIENCE", httpx.Timeout(10, read=0.3))
    adder.server.mute = True
    run = label("monte-carlo", adder, SWEEP, ends="failed")
    assert "does not answer" in run.message and "What is labeled is kept" in run.message


def test_a_stopped_run_keeps_what_it_has(sums, adder, traces, alice, monkeypatch):
    run = runs.queue_run(traces, "monte-carlo", adder, SWEEP, alice)
    monkeypatch.setattr(monte_carlo, "AT_ONCE", 1)
    runs.cancel(run)
    assert StepLabelRun.objects.get().status == "cancelled"
    again = runs.queue_run(traces, "monte-carlo", adder, SWEEP, alice)
    StepLabelRun.objects.filter(pk=again.pk).update(cancel=True)
    adder.server.rest = 0.5
    runs.run_labeling(again)
    again.refresh_from_db()
    assert again.status == "cancelled" and again.done < 4


def test_a_lost_message_is_sent_again(sums, adder, traces, alice, monkeypatch):
    sent = []
    run = runs.queue_run(traces, "monte-carlo", adder, SWEEP, alice)
    monkeypatch.setattr("training.wake.send", lambda task, pk, queue="default": sent.append((task, pk)) or True)
    assert runs.wake_lost() == 0
    StepLabelRun.objects.update(created=timezone.now() - 2 * SILENT)
    assert runs.wake_lost() == 1 and sent == [("training.tasks.label_steps", run.pk)]


def test_solutions_that_stop_early_are_completed_from_their_end(make_trace, adder, label):
    make_trace("What is 1 + 2 + 3?", ["1 + 2 = 3"], reference="6")
    make_trace("What is 1 + 2 + 3? ", ["1 + 2 = 4"], reference="6")
    label("monte-carlo", adder, SWEEP)
    assert [row.ratings for row in labels()] == [[1], [-1]]


def test_steps_are_divided_as_written_or_as_the_model_writes_them(make_trace, adder, label):
    make_trace("What is 1 + 2 + 3?", ["1 + 2 = 3", "3 + 3 = 6", "The answer is 6."], reference="6")
    label("monte-carlo", adder, SWEEP)
    label("monte-carlo", adder, SWEEP | {"separator": "line"}, again="replace")
    asked = set(adder.server.asked)
    assert asked == {"1 + 2 = 3\n\n", "1 + 2 = 3\n\n3 + 3 = 6\n\n", "1 + 2 = 3\n", "1 + 2 = 3\n3 + 3 = 6\n"}


def test_a_served_model_labels_through_the_model_server(registered, make_trace, label):
    make_trace("Hello?", ["One", "Two", "So the answer is 7."], reference="7")
    run = label("monte-carlo", registered["small"], {"n": 2, "max_tokens": 6, "verifier": "last_number"})
    assert run.report["cost"]["completions"] == 4 and run.report["cost"]["tokens"] > 0
    assert labels("small-v1")[0].ratings[-1] == 1


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"n": 0}, "Completions a step is 0; it should be from 1 to 128"),
        ({"n": "many"}, "should be a whole number"),
        ({"verifier": "luck"}, "choose one of math, exact, last_number"),
        ({"colour": "red"}, "no such setting"),
    ],
)
def test_wrong_settings_are_refused_by_name(sums, adder, label, given, sentence):
    with pytest.raises(BadLabeling, match=sentence):
        label("monte-carlo", adder, given)


def test_a_scorer_cannot_complete(sums, registered, label):
    with pytest.raises(BadLabeling, match="is a process reward model, which cannot do this"):
        label("monte-carlo", registered["steps"])
