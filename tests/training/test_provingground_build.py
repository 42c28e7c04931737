"""The minute-long proving ground, built for real: the policy errs, the reward models see where, labels cost little."""

import subprocess
import sys

import pytest

from benchmarks import first_error_search, prm_provingground, search_provingground, soft_labels
from benchmarks._chart import chart
from training.provingground import runs
from training.provingground.ground import LEARN, build
from training.provingground.runs import TrainingFailed

pytestmark = [pytest.mark.training, pytest.mark.long, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    return build(tmp_path_factory.mktemp("ground"), "minute")


def test_the_policy_solves_about_half_and_errs_at_every_step(ground):
    truths = [trace.truth for trace in ground.held_out]
    assert 0.35 <= sum(truth.solved for truth in truths) / len(truths) <= 0.8
    assert all(truth.complete for truth in truths)
    assert {truth.first_error for truth in truths} >= {None, 0, 1, 2}


def test_the_process_reward_model_finds_first_errors(ground):
    found = prm_provingground.measure(ground)
    assert found["prm"]["first_error_f1"][0] > 0.7
    assert found["prm"]["calibration_error"] < 0.1
    assert found["orm"]["auc"] > 0.6


def test_completions_tell_good_steps_from_bad_ones(ground):
    traces = ground.held_out[:40]
    swept = ground.policy.label([(trace.problem, trace.steps) for trace in traces], n=8, seed=1)
    good, bad = [], []
    for trace, counts in zip(traces, swept, strict=True):
        for at, label in enumerate(trace.truth.labels[:-1]):
            (good if label else bad).append(counts[at + 1].soft)
    assert sum(good) / len(good) > 0.5 and sum(bad) / len(bad) < 0.15


def test_what_is_there_is_not_made_again(ground, monkeypatch):
    monkeypatch.setattr(runs, "follow", None)
    again = build(ground.folder, "minute", say=lambda line: pytest.fail(line))
    assert again.traces == ground.traces and again.prm_folder == ground.prm_folder


def test_a_training_that_fails_says_why(ground, tmp_path):
    with pytest.raises(TrainingFailed, match="learning_rate must be above 0"):
        runs.train("sft", tmp_path / "run", ground.policy_folder, [], [], print, **LEARN | {"learning_rate": -1.0})


def test_the_command_shows_solutions_with_their_truth(ground):
    command = [sys.executable, "-m", "training.provingground", "show", str(ground.folder), "--size", "minute"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.count("outcome reward") == 3 and "Answer: " in said


def test_the_search_for_first_errors_is_cheap(ground):
    found = first_error_search.measure(ground, steps=5)
    assert found["share"] <= 0.75 and found["traces"] > 20


def test_a_verifier_chooses_better_than_votes_and_votes_better_than_chance(ground):
    points, shares = search_provingground.measure(ground, ground.problems(24, "search"))
    means = {name: sum(values) / len(values) for name, values in shares.items()}
    assert means["PRM weighted"] >= means["majority"] >= means["one sample"] - 0.05
    assert means["beam search"] >= means["one sample"]
    assert all(point.low <= point.accuracy <= point.high for point in points)


def test_more_completions_make_better_labels(ground):
    steps = soft_labels.counted(ground, traces=12)
    few, more = (soft_labels.rmse(steps, n, "soft", "chance") for n in (1, 16))
    assert more < few < 0.7


def test_figures_can_be_drawn():
    from xml.etree import ElementTree

    picture = chart("A & B", "N", "share", {"<one>": [(1, 0.2, 0.1, 0.3), (16, 0.8, 0.7, 0.9)]})
    assert len(ElementTree.fromstring(picture).findall("{*}circle")) == 3
