"""How a training's process is started, and the studio's own recipes trained through a worker on a tiny model."""

import os
import signal
import sys
from pathlib import Path

import pytest

from annotation.store import store
from tests.tiny import tiny_model
from tests.training import engine
from tests.training.engine import at_step, ended
from training import executors
from training.jobs import launch, run_job

FEW = {"max_steps": 4, "per_device_train_batch_size": 2, "max_length": 128, "lora": False, "save_steps": 2}


def test_an_executor_is_a_name_and_perhaps_a_number():
    assert executors.parse("local") == ("local", None) and executors.parse("accelerate:4") == ("accelerate", 4)
    for wrong in ("slurm", "accelerate:0", "accelerate:x", "accelerate:-1"):
        with pytest.raises(ValueError, match="executor"):
            executors.parse(wrong)


def test_every_executor_runs_the_recipe_as_a_module_on_the_run_directory():
    for name in ("local", "accelerate:2"):
        command = executors.command(name, "training.recipes.dpo", Path("/r/7"), "cpu")
        assert command[0] == sys.executable and command[-2:] == ["training.recipes.dpo", "/r/7"]
    assert command[command.index("--num_processes") + 1] == "2"


@pytest.fixture
def tiny_base(clean_home, alice, tmp_path):
    from training.registry import register_folder

    return register_folder(tiny_model(tmp_path / "tiny"), name="Tiny", user=alice)


@pytest.mark.training
def test_dpo_trains_through_a_worker_and_its_model_answers(alice, dataset, tiny_base, start_worker):
    start_worker()
    job = ended(launch(alice, dataset, "dpo", tiny_base, FEW, name="Polite"), 90)
    assert (job.status, job.step, job.model.makes) == ("succeeded", 4, "policy"), job.error
    assert job.latest["rewards/accuracies"] >= 0 and job.result["device"].startswith("cpu")
    first = job.metrics.exclude(values__loss=None).first().values
    assert first["loss"] == pytest.approx(0.6931, abs=1e-3)  # ln 2: the policy is still its reference
    folder = store().fetch(job.model.folder)
    assert {"model.safetensors", "tokenizer.json", "README.md"} <= set(os.listdir(folder))
    assert job.model.parameters == tiny_base.parameters and job.model.sha256 != tiny_base.sha256


@pytest.mark.training
@pytest.mark.long
def test_dpo_killed_with_its_worker_goes_on_from_its_checkpoint(alice, dataset, tiny_base, start_worker):
    worker = start_worker("first")
    job = launch(alice, dataset, "dpo", tiny_base, FEW | {"max_steps": 300, "save_steps": 10}, name="Polite")
    at_step(job, 25, 90)
    worker.kill()
    os.kill(job.pid, signal.SIGKILL)
    start_worker("second")
    ended(job, 120)
    assert (job.status, job.step) == ("succeeded", 300), job.error
    assert "from step 20" in job.log or "from step 30" in job.log


@pytest.mark.training
@pytest.mark.long
def test_two_processes_train_one_job(alice, dataset, tiny_base):
    job = launch(alice, dataset, "reward_model", tiny_base, FEW, executor="accelerate:2", device="cpu")
    run_job(job)
    job.refresh_from_db()
    assert (job.status, job.step) == ("succeeded", 4), (job.error, job.log[-3000:])
    assert "× 2" in job.result["device"] and job.model.makes == "reward_model"


@pytest.mark.training
@pytest.mark.long
def test_two_processes_save_when_they_are_asked_to_stop(alice, dataset, tiny_base, start_worker):
    from training.jobs import cancel

    start_worker()
    many = FEW | {"max_steps": 2000, "save_steps": 0}
    job = launch(alice, dataset, "reward_model", tiny_base, many, executor="accelerate:2", device="cpu")
    at_step(job, 5, 90)
    cancel(job, "save")
    ended(job, 60)
    assert job.status == "stopped" and job.model.status == "ready", (job.error, job.log[-3000:])
    assert engine.trainings(store().home / "runs") == []
