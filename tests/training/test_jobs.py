"""A training from launch to its model, and every way it may be ended or go wrong."""

import subprocess
import threading
import time

import psutil
import pytest
from django.conf import settings
from django.db import connection

from annotation.store import store
from tests.training import engine
from tests.training.engine import at_step, ended, wait_for
from training.jobs import BadJob, cancel, launch, queue_place, resume, run_job, why_waiting
from training.recipes.config import BadConfig


@pytest.fixture
def in_background(request):
    """Run a job as a trainer's thread does, while the test goes on."""

    def start(job):
        def run():
            try:
                run_job(job)
            finally:
                connection.close()

        thread = threading.Thread(target=run)
        thread.start()
        request.addfinalizer(lambda: thread.join(30))

    return start


@pytest.fixture
def tiny_disk(request):
    """Mount a file system of one megabyte somewhere, for as long as the test takes."""

    def mount(folder):
        folder.mkdir(parents=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)], capture_output=True)
        if done.returncode:
            pytest.skip("only root may mount a small disk to fill")
        request.addfinalizer(lambda: subprocess.run(["umount", "-l", str(folder)], check=True))

    return mount


def folder_of(job):
    return store().work(job.run_dir)


def starts(job) -> list[list[str]]:
    """Pid and first step of every process that trained for this job."""
    return [line.split() for line in (folder_of(job) / "starts.txt").read_text().splitlines()]


def test_a_launched_job_is_trained_by_a_worker_and_its_model_is_registered(launch_words, start_worker):
    start_worker()
    job = ended(launch_words(max_steps=8))
    assert (job.status, job.step, job.total, job.attempts) == ("succeeded", 8, 8, 1), job.error
    assert job.model.status == "ready" and str(job.model) == "Manners v1" and job.model.makes == "reward_model"
    assert job.model.parameters > 5 and len(job.model.sha256) == 64
    assert job.metrics.count() == 8 and job.samples.get().completion == "Thank you, gladly."
    assert job.latest["accuracy"] == 1.0 and job.log.startswith("— started ")
    assert job.pid is None and job.heartbeat is None and not (folder_of(job) / "checkpoints").exists()


def test_every_setting_is_kept_with_its_value_not_only_the_given_ones(launch_words):
    job = launch_words(max_steps=3)
    assert job.settings == {
        "learning_rate": 0.1, "max_steps": 3, "loading": 0.0, "save_steps": 5, "pause": 0.0, "fail": "", "padding": 0,
    }  # fmt: skip


def test_nonsense_is_refused_before_anything_is_queued(alice, dataset, base_model, launch_words):
    for said, reason in [
        ({"learning_rate": -1}, "learning_rate must be above 0"),
        ({"max_steps": "many"}, "max_steps must be a whole number"),
        ({"beta": 0.1}, "beta is not a setting"),
    ]:
        with pytest.raises(BadConfig, match=reason):
            launch_words(**said)
    with pytest.raises(BadJob, match="no recipe 'magic'; choose one of sft"):
        launch(alice, dataset, "magic", base_model)
    with pytest.raises(ValueError, match="no executor 'cloud'"):
        launch(alice, dataset, "words", base_model, executor="cloud")
    dataset.status = "freezing"
    with pytest.raises(BadJob, match="only a ready dataset"):
        launch(alice, dataset, "words", base_model)
    assert not dataset.jobs.exists()


def test_the_same_name_again_is_the_next_version(launch_words):
    first, second = launch_words(max_steps=2), launch_words(max_steps=2)
    run_job(first)
    run_job(second)
    assert [str(ended(job).model) for job in (first, second)] == ["Manners v1", "Manners v2"]


@pytest.mark.parametrize(
    ("how", "kind", "says"),
    [
        ("raise", "crash", "RuntimeError: the third step is not for me"),
        ("exit", "crash", "Ended with exit status 3"),
        ("kill", "out_of_memory", "Killed by the system (signal 9), most likely because memory ran out."),
    ],
)
def test_a_failing_recipe_is_a_failed_job_that_says_what_to_try(launch_words, how, kind, says):
    job = launch_words(fail=how)
    run_job(job)
    ended(job)
    assert job.status == "failed" and job.error["class"] == kind and says in job.error["message"]
    assert job.error["advice"] and job.model is None
    assert job.metrics.count() == (3 if how == "nan" else 2)  # nothing it said before is lost


def test_a_loss_that_is_no_number_raises_an_alarm_once(launch_words):
    job = launch_words(fail="nan", max_steps=6)
    run_job(job)
    job.refresh_from_db()
    assert [(alarm["kind"], alarm["step"]) for alarm in job.alarms] == [("nan", 3)]
    assert job.alarms[0]["advice"] and job.metrics.get(step=3).values["loss"] == "NaN"


def test_a_base_model_that_is_gone_is_said(launch_words, base_model):
    store().remove(base_model.folder)
    job = launch_words()
    run_job(job)
    job.refresh_from_db()
    assert job.status == "failed" and f"no {base_model.folder}" in job.error["message"]


def test_a_full_disk_is_its_own_kind_of_failure(launch_words, tiny_disk):
    job = launch_words(padding=3_000_000)  # a checkpoint that does not fit
    tiny_disk(folder_of(job))
    run_job(job)
    job.refresh_from_db()
    assert (job.status, job.error["class"]) == ("failed", "disk_full"), job.error
    assert "Free space" in job.error["advice"] and job.metrics.count() == 5


def test_stop_now_ends_the_process_and_keeps_its_checkpoints(launch_words, in_background):
    job = launch_words(max_steps=1000, pause=0.05)
    in_background(job)
    at_step(job, 6)
    process = psutil.Process(job.pid)
    cancel(job, "stop")
    assert job.status == "stopping"
    ended(job, 15)
    assert job.status == "cancelled" and job.model is None and not process.is_running()
    assert list((folder_of(job) / "checkpoints").glob("checkpoint-*"))


def test_stop_and_save_registers_what_was_learned_so_far(launch_words, in_background):
    job = launch_words(max_steps=1000, pause=0.05)
    in_background(job)
    at_step(job, 6)
    cancel(job, "save")
    ended(job, 15)
    assert job.status == "stopped" and job.model.status == "ready" and 6 <= job.step < 1000


@pytest.mark.parametrize(("how", "status"), [("save", "stopped"), ("stop", "cancelled")])
def test_a_job_that_still_loads_stops_at_once_with_nothing_to_save(launch_words, in_background, how, status):
    job = launch_words(loading=600)
    in_background(job)
    wait_for(lambda: (folder_of(job) / "starts.txt").exists(), 30)
    asked = time.monotonic()
    cancel(job, how)
    ended(job, 15)
    assert time.monotonic() - asked < 4, "not killed after the grace of a stop, nor waited for"
    assert (job.status, job.model, job.error, job.step) == (status, None, None, 0)
    assert "nothing to save" in (folder_of(job) / "log.txt").read_text()
    resume(job)
    assert job.status == "queued"


def test_a_job_that_will_not_listen_is_killed_when_it_must_stop_now(launch_words, in_background):
    job = launch_words(max_steps=1000, pause=60)  # sleeps through SIGTERM
    in_background(job)
    at_step(job, 1)
    cancel(job, "save")
    cancel(job, "stop")
    ended(job, 15)
    assert job.status == "cancelled"


def test_a_queued_job_is_cancelled_without_ever_starting(launch_words):
    job = launch_words()
    cancel(job)
    run_job(job)
    assert job.status == "cancelled" and not folder_of(job).exists()
    with pytest.raises(BadJob, match="'stop' or 'save'"):
        cancel(job, "maybe")


def test_resume_goes_on_from_the_newest_checkpoint(launch_words, in_background):
    job = launch_words(max_steps=30, pause=0.05)
    in_background(job)
    with pytest.raises(BadJob, match="only a stopped, cancelled or failed job"):
        resume(at_step(job, 6))
    cancel(job)
    ended(job, 15)
    resume(job)
    assert job.status == "queued" and queue_place(job) == 1
    run_job(job)
    ended(job)
    assert job.status == "succeeded" and job.step == 30
    (_, first), (_, second) = starts(job)
    assert first == "0" and int(second) >= 5
    lines = list(job.metrics.values_list("line", flat=True))
    assert lines == list(range(len(lines))) and set(job.metrics.values_list("step", flat=True)) == set(range(1, 31))


def test_a_message_that_comes_twice_changes_nothing(launch_words, in_background):
    job = launch_words(max_steps=30, pause=0.1)
    in_background(job)
    at_step(job, 2)
    run_job(job)
    job.refresh_from_db()
    assert job.status == "running"  # it did not wait for the end
    run_job(ended(job))
    assert len(starts(job)) == 1 and job.attempts == 1


def test_two_jobs_on_one_device_wait_for_each_other_in_the_order_of_the_queue(launch_words, in_background):
    first, second, third = (launch_words(max_steps=20, pause=0.05) for _ in range(3))
    assert [queue_place(job) for job in (first, second, third)] == [1, 2, 3]
    in_background(third)  # a message is only a wake-up: the queue decides who starts
    at_step(first, 2)
    run_job(second)
    second.refresh_from_db()
    assert second.status == "queued" and [queue_place(job) for job in (second, third)] == [1, 2]
    ended(first)
    assert len(engine.trainings(settings.HOME / "runs")) == 0
    run_job(second)
    assert ended(second).status == "succeeded" and second.started > first.finished


def test_no_secret_reaches_the_process_that_trains(launch_words, in_background, monkeypatch):
    secrets = {"STUDIO_SECRET_KEY": "k" * 40, "OPENAI_API_KEY": "sk-1", "HF_TOKEN": "hf-1"}
    secrets |= {
        "AWS_SECRET_ACCESS_KEY": "aws-1",
        "DATABASE_URL": "postgres://u:p@h/d",
        "PIP_INDEX_URL": "https://me:pw@host/simple",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NCCL_DEBUG", "INFO")
    job = launch_words(max_steps=100, pause=0.05)
    in_background(job)
    at_step(job, 1)
    environment = psutil.Process(job.pid).environ()
    cancel(job)
    assert not set(secrets) & set(environment) and environment["NCCL_DEBUG"] == "INFO"
    assert not any(value in str(environment.values()) for value in secrets.values())
    assert settings.SECRET_KEY not in (folder_of(job) / "config.json").read_text()


def test_a_launch_without_a_broker_is_kept_and_says_so(launch_words, worker_env):
    job = launch_words()
    resend = f"""
import time, django; django.setup()
from training import jobs, wake
job = jobs.TrainingJob.objects.get(pk={job.pk})
jobs.cancel(job)
begun = time.monotonic()
jobs.resume(job)
print(time.monotonic() - begun < 5, wake.waiting("train"))
"""
    env = worker_env | {"CELERY_BROKER_URL": "redis://127.0.0.1:1/0"}  # nobody listens there
    assert engine.python(resend, env).split() == ["True", "0"]
    job.refresh_from_db()
    assert job.status == "queued" and job.sent is None and "broker does not answer" in why_waiting(job)
