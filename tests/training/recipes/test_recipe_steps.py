"""PRM and ORM, trained for real on a tiny model: what they learn, what they are shown, what they refuse."""

import json
import math

import pytest

from tests.training.recipes.conftest import curve, metrics, train_here

pytestmark = pytest.mark.training
QUICK = {"max_steps": 30, "learning_rate": 0.01, "per_device_train_batch_size": 8}


def test_a_process_reward_model_learns_which_steps_are_wrong(make_run):
    run_dir = make_run("prm", sample_every=15, **QUICK)
    done = train_here(run_dir)
    assert done["status"] == "succeeded" and done["step"] == done["total"] == 30
    assert curve(run_dir, "eval_loss")[0] == pytest.approx(math.log(2), abs=1e-6)
    assert curve(run_dir, "eval_processbench_f1")[0] == 0  # an untrained head names no step
    assert done["metrics"]["eval_step_accuracy"] > 0.95
    assert done["metrics"]["eval_first_error_accuracy"] > 0.9
    assert done["metrics"]["eval_processbench_f1"] > 0.9
    assert done["metrics"]["eval_calibration_error"] < 0.1
    samples = [json.loads(line) for line in (run_dir / "samples.jsonl").read_text().splitlines()]
    assert {sample["step"] for sample in samples} == {15, 30}
    assert samples[-1]["parts"].keys() == {"step 1", "step 2", "step 3", "step 4"}
    assert {"step_accuracy", "called_bad", "labeled_bad", "num_tokens"} <= metrics(run_dir)[1]["values"].keys()


def test_an_outcome_reward_model_learns_which_solutions_are_right(make_run):
    run_dir = make_run("orm", **QUICK | {"max_steps": 50, "learning_rate": 0.005})
    done = train_here(run_dir)
    assert curve(run_dir, "eval_loss")[0] == pytest.approx(math.log(2), abs=1e-6)
    assert done["metrics"]["eval_accuracy"] > 0.9 and done["metrics"]["eval_auc"] > 0.95
