"""Labels by a verifier, by models and by consensus."""

import pytest

from annotation.models import StepLabels
from tests.training.labeling.conftest import ERRORS
from training.labeling.kinds import KINDS, BadLabeling, kind

pytestmark = pytest.mark.django_db(transaction=True)


def labels(kind_name, source) -> list[StepLabels]:
    return list(StepLabels.objects.filter(kind=kind_name, source=source).order_by("prompt"))


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_says_what_it_is_and_takes_its_own_defaults(name):
    of = kind(name)
    assert of.TITLE and of.ABOUT.endswith(".") and of.SETTINGS and of.GROUP and of.AT_ONCE


def test_the_arithmetic_verifier_labels_what_it_can_compute(sums, make_trace, label):
    make_trace("Who?", ["She did.", "The answer is she."])
    run = label("verifier")
    found = labels("verifier", "arithmetic")
    assert [row.ratings[:4] for row in found] == [[-1 if at == first else 1 for at in range(4)] for first in ERRORS]
    assert found[0].notes == {"2": "6 + 4 = 10, not 11"}
    assert {row.ratings[4] for row in found} == {None}
    assert (run.done, run.report["labeled"], run.report["bad"]) == (5, 4, 2)
    assert run.report["unsaid"] == {"no step holds arithmetic that can be checked": 1}


def test_a_process_reward_model_scores_every_step(sums, registered, label):
    run = label("model", registered["steps"], {"threshold": 0.4})
    for row in labels("model", "steps-v1"):
        assert len(row.scores) == 5 and all(0 <= score <= 1 for score in row.scores)
        assert row.ratings == [1 if score >= 0.4 else -1 for score in row.scores]
    assert (run.status, run.done, run.report["steps"]) == ("succeeded", 4, 20)


def test_an_outcome_reward_model_scores_the_last_step_alone(sums, registered, label):
    label("model", registered["answers"])
    for row in labels("model", "answers-v1"):
        assert row.scores[:4] == [None] * 4 and 0 <= row.scores[4] <= 1


def test_a_chat_model_is_asked_of_each_step_and_what_cannot_be_read_is_counted(sums, adder, label):
    adder.server.verdict = "Who knows?"
    run = label("model", adder)
    found = labels("model", "adder-v1")
    assert [row.ratings for row in found] == [
        [-1 if at == first else 1 for at in range(4)] + [None] for first in ERRORS
    ]
    assert run.report["cost"] == {"asked": 20, "unread": 4}
    assert run.message == "4 of 20 answers could not be read as a verdict."


def test_consensus_keeps_only_what_all_sources_say(sums, make_trace, adder, label):
    label("verifier")
    label("monte-carlo", adder, {"n": 2})
    given = {"sources": ["verifier:arithmetic", "monte-carlo:adder-v1"]}
    run = label("consensus", given=given)
    assert run.source == "arithmetic+adder-v1"
    found = labels("consensus", run.source)
    # After the first error the sum is carried on rightly: arithmetic holds, the answer is out of reach.
    assert found[0].ratings == [1, 1, -1, None, None]
    assert run.report["cost"] == {"agreed": 12, "disagreed": 4, "too_few": 4}


def test_consensus_needs_two_sources_that_are_there(sums, label):
    label("verifier")
    with pytest.raises(BadLabeling, match="at least two"):
        label("consensus", given={"sources": ["verifier:arithmetic"]})
    with pytest.raises(BadLabeling, match="model:gone: no labels"):
        label("consensus", given={"sources": ["verifier:arithmetic", "model:gone"]})


def test_a_project_of_rankings_has_no_steps_to_label(project, alice):
    from training.labeling.runs import queue_run

    with pytest.raises(BadLabeling, match="no project of kind steps"):
        queue_run(project, "verifier", None, {}, alice)


def test_only_traces_people_labeled_can_be_chosen(sums, bob, label):
    StepLabels.objects.create(prompt=sums[0], labeler=bob, ratings=[1, 1, -1])
    assert label("verifier", which="labeled").total == 1
    assert label("verifier", which="unlabeled", again="add").total == 3


def test_long_and_odd_traces_have_defined_results(make_trace, label):
    make_trace("Long", [f"{n} + 1 = {n + 1}" for n in range(500)], reference="500")
    make_trace("Short", ["1 + 1 = 3"], reference="2")
    make_trace("Huge", ["word " * 4_000 + "2 + 2 = 4"], reference="4")
    assert label("verifier").report["steps"] == 502
