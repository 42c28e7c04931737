"""Sources against people: accuracy, coverage, first errors, calibration, and what a consensus would keep."""

import pytest

from annotation.steps.opinions import Opinions
from training.labeling.comparison import PEOPLE, Trace, all_compared, compared, preview, truth_of


@pytest.fixture
def said() -> Opinions:
    """Two people on two traces; a model with scores, a verifier that says little, a file."""
    ratings = {
        1: {
            "ann": [1, 1, -1], "ben": [1, 0, -1], "model:prm": [1, 1, -1, 1], "verifier:arithmetic": [None, 1, -1],
            "import:file": [1, 1, -1],
        },
        2: {"ann": [1, 1], "model:prm": [1, -1], "verifier:arithmetic": [None, 1], "import:file": [1, 1]},
    }  # fmt: skip
    scores = {p: {name: [] for name in by} for p, by in ratings.items()}
    scores[1]["model:prm"], scores[2]["model:prm"] = [0.9, 0.8, 0.1, 0.9], [0.95, 0.4]
    names = [name for by in ratings.values() for name in by]
    return Opinions({1: 4, 2: 2}, ratings, scores, {"ann", "ben"}, {name: names.count(name) for name in names})


def of(found, name):
    return next(each for each in found if each.name == name)


def test_people_are_the_truth_by_their_majority(said):
    assert truth_of(said) == {1: [1, None, -1, None], 2: [1, 1]}
    assert truth_of(said, "import:file") == {1: [1, 1, -1], 2: [1, 1]}


def test_accuracy_is_on_the_steps_both_speak_of(said):
    found = of(all_compared(said), "model:prm")
    assert (found.traces, found.steps, found.accuracy, found.coverage) == (2, 4, 0.75, 1.0)
    assert (found.bad_found, found.bad_right) == (1.0, 0.5)
    quiet = of(all_compared(said), "verifier:arithmetic")
    assert (quiet.steps, quiet.accuracy, quiet.coverage) == (2, 1.0, 0.5)


def test_first_errors_are_processbenchs(said):
    found = of(all_compared(said), "model:prm")
    assert (found.first_traces, found.error_acc, found.correct_acc, found.f1) == (2, 1.0, 0.0, 0.0)
    assert of(all_compared(said), "verifier:arithmetic").f1 == 1.0


def test_scores_are_calibrated_against_good_or_bad(said):
    found = of(all_compared(said), "model:prm").calibration
    assert found["ece"] == pytest.approx((0.1 + 0.1 + 0.05 + 0.6) / 4, abs=0.051)
    assert of(all_compared(said), "verifier:arithmetic").calibration is None


def test_an_imported_file_may_be_the_truth_and_people_are_compared_too(said):
    found = all_compared(said, "import:file")
    assert {each.name for each in found} == {"model:prm", "verifier:arithmetic", PEOPLE}
    assert of(found, PEOPLE).accuracy == 1.0


def test_intervals_need_five_traces():
    many = [Trace(1, [1], [1]), Trace(1, [-1], [-1]), Trace(1, [-1], [1])] * 4
    found = compared("m", many)
    low, high = found.accuracy_interval
    assert low < found.accuracy < high
    assert found.f1_interval[0] <= found.f1 <= found.f1_interval[1]
    assert compared("m", many[:3]).accuracy_interval is None


def test_a_preview_of_consensus_says_what_is_lost_and_what_is_won(said):
    found = preview(said, ["model:prm", "verifier:arithmetic"])
    assert (found.steps, found.agreed, found.disagreed, found.too_few, found.lost) == (6, 2, 1, 3, 4)
    assert found.together.accuracy == 1.0 > of(found.apart, "model:prm").accuracy


def test_nothing_in_common_has_no_figures():
    found = compared("m", [])
    assert (found.traces, found.accuracy, found.f1, found.calibration) == (0, None, None, None)
