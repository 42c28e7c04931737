"""Agreement on steps: worked examples, and what a project's page is told."""

import numpy as np
import pytest

from annotation.agreement import alpha_of_counts
from annotation.models import StepLabels
from annotation.steps.agreement import Marked, alpha_of_coincidences, between_people, first_error, majority, with_people
from annotation.steps.opinions import opinions, step_agreement

# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", section A, two observers of ten binary units:
# alpha = 0.095. Here each unit is a step, 0 for bad and 1 for good.
MEG = [-1, 1, -1, -1, -1, -1, -1, -1, 1, -1]
OWEN = [1, 1, 1, -1, -1, 1, -1, -1, -1, -1]


def test_alpha_of_steps_is_krippendorffs_for_his_two_observers():
    """Meg 0100000010 and Owen 1110010000 agree on six of ten units; Do = .4, De = .442, alpha = .095."""
    found = between_people([Marked(10, {"meg": MEG, "owen": OWEN})], {"meg", "owen"})
    assert round(found.alpha, 3) == 0.095
    assert (found.traces, found.steps, found.same) == (1, 10, 0.6)


def test_ordinal_alpha_holds_a_neutral_nearer_to_good_than_a_bad():
    near = [Marked(4, {"ann": [1, 1, -1, -1], "ben": [1, 0, -1, -1]})]
    far = [Marked(4, {"ann": [1, 1, -1, -1], "ben": [1, -1, -1, -1]})]
    alphas = [between_people(traces, {"ann", "ben"}).alpha for traces in (near, far)]
    assert alphas[0] > alphas[1] > 0


def test_first_errors_agree_only_at_the_same_step_and_no_error_is_a_value_too():
    traces = [
        Marked(3, {"ann": [1, -1], "ben": [1, -1]}),
        Marked(3, {"ann": [-1], "ben": [1, -1]}),
        Marked(2, {"ann": [1, 1], "ben": [1, 1]}),
        Marked(9, {"ann": [1, 1], "ben": [1, -1]}),  # ann did not say whether an error follows
    ]
    found = between_people(traces, {"ann", "ben"})
    assert (found.first_traces, found.first_same) == (3, pytest.approx(2 / 3))
    # Values none, 0, 1 occur 2, 1, 3 times in three units: D_o = 1/3, D_e = 1 - (2·1 + 0 + 3·2)/(6·5) = 11/15.
    assert found.first_alpha == pytest.approx(1 - (1 / 3) / (11 / 15))


def test_intervals_come_with_five_traces_and_hold_the_value():
    traces = [Marked(4, {"ann": [1, 1, -1, 0], "ben": [1, x, -1, 0]}) for x in (1, 1, -1, 1, 0, 1, 1)]
    found = between_people(traces, {"ann", "ben"})
    low, high = found.alpha_interval
    assert low <= found.alpha <= high and low < high
    assert between_people(traces[:4], {"ann", "ben"}).alpha_interval is None


@pytest.mark.parametrize("level", ["nominal", "ordinal"])
def test_alpha_of_summed_coincidences_is_the_packages(level):
    draw = np.random.default_rng(0)
    units = draw.multinomial(2, [0.2, 0.3, 0.5], size=80)
    whole = alpha_of_counts((-1, 0, 1), units, level)
    matrix = units.T @ units - np.diag(units.sum(axis=0))
    assert alpha_of_coincidences(matrix, level) == pytest.approx(whole)


def test_nothing_in_common_is_not_known_yet():
    found = between_people([Marked(2, {"ann": [1, 1]})], {"ann"})
    assert (found.traces, found.alpha, found.same, found.first_alpha) == (0, None, None, None)
    assert found.words == "not known yet"


def test_traces_whose_first_error_nobody_named_leave_it_unknown():
    found = between_people([Marked(9, {"ann": [1], "ben": [1]})] * 6, {"ann", "ben"})
    assert (found.traces, found.same, found.first_traces, found.first_alpha) == (6, 1.0, 0, None)


def test_a_machine_is_compared_with_each_person_and_not_with_machines():
    said = {"ann": [1, -1], "ben": [1, 1], "model:prm": [1, -1], "import:file": [-1, -1]}
    found = with_people([Marked(2, said)], {"ann", "ben"}, "model:prm")
    assert (found.steps, found.same, found.first_same) == (4, 0.75, 0.5)


def test_a_majority_needs_a_most():
    assert majority([], 2) == [None, None]
    assert majority([[1], [1], [-1]], 2) == [1, None]
    assert first_error([1, None, 1], 3) == "unknown"


@pytest.mark.django_db
def test_a_project_knows_its_people_and_its_machines(make_trace, traces, alice, bob):
    first, second = make_trace("One?"), make_trace("Two?")
    for prompt, ratings in ((first, [1, -1]), (second, [1, 1, 1])):
        for labeler in (alice, bob):
            StepLabels.objects.create(prompt=prompt, labeler=labeler, ratings=ratings)
        StepLabels.objects.create(prompt=prompt, kind="model", source="prm-v1", ratings=[1, -1, 1], scores=[1, 0, 1])
    StepLabels.objects.create(prompt=make_trace("Three?"), labeler=bob, gave_up="too_hard")
    found = opinions(traces)
    assert found.people == {"alice", "bob"} and found.machines == ["model:prm-v1"]
    assert found.traces_by == {"alice": 2, "bob": 2, "model:prm-v1": 2}
    shown = step_agreement(traces)
    assert (shown.people.alpha, shown.people.traces, shown.persons) == (1.0, 2, 2)
    assert shown.machines[0][0] == "model:prm-v1" and shown.machines[0][1].first_same == 0.5


@pytest.mark.django_db
def test_agreement_is_measured_anew_when_a_label_changes(trace, traces, alice, bob):
    StepLabels.objects.create(prompt=trace, labeler=alice, ratings=[1, -1])
    assert step_agreement(traces).people.traces == 0
    StepLabels.objects.create(prompt=trace, labeler=bob, ratings=[1, -1])
    assert step_agreement(traces).people.traces == 1
