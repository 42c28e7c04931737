"""Workers die, brokers and databases go away and come back: no job is lost and none runs twice."""

import os
import signal
import time
from datetime import timedelta

import psycopg
import pytest
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from django.utils.module_loading import import_string

from annotation.store import store
from studio.models import WorkerBeat
from tests.training.engine import app, at_step, ended, trainings, wait_for
from training import follow, hosts
from training.ending import finish
from training.jobs import cancel, run_job, stop_children
from training.models import TrainingJob
from training.reconcile import LOST, end_strays, mark_gone, reconcile
from training.rundir import prepare
from training.trainer import claim
from training.wake import waiting


def starts(job) -> list[list[str]]:
    return [line.split() for line in (store().work(job.run_dir) / "starts.txt").read_text().splitlines()]


def whole(job, steps: int) -> bool:
    """Every step is there, and every line of the file is one row."""
    lines = (store().work(job.run_dir) / "metrics.jsonl").read_text().splitlines()
    known, wanted = dict(job.metrics.values_list("line", "step")), set(range(1, steps + 1))
    return list(known) == list(range(len(lines))) and set(known.values()) == wanted


def test_a_killed_worker_leaves_its_training_alive_and_the_next_one_follows_it(launch_words, start_worker):
    job = launch_words(max_steps=120, pause=0.05)
    first = start_worker("first")
    at_step(job, 5)
    first.kill()
    assert len(trainings(settings.HOME / "runs")) == 1
    start_worker("second")
    ended(job, 40)
    assert (job.status, job.attempts, len(starts(job))) == ("succeeded", 1, 1), job.error
    assert whole(job, 120) and job.model.status == "ready"


def test_a_job_whose_worker_and_process_were_killed_goes_on_from_its_checkpoint(launch_words, start_worker):
    job = launch_words(max_steps=60, pause=0.05)
    worker = start_worker("first")
    at_step(job, 12)
    worker.kill()
    os.kill(job.pid, signal.SIGKILL)
    start_worker("second")
    ended(job, 40)
    (_, first), (_, second) = starts(job)
    assert (job.status, first) == ("succeeded", "0") and int(second) >= 10
    assert whole(job, 60)


@pytest.mark.long
def test_a_job_that_died_without_a_checkpoint_fails_as_lost_with_its_last_words(launch_words, start_worker):
    job = launch_words(max_steps=60, pause=0.05, save_steps=0)
    worker = start_worker("first")
    at_step(job, 3)
    worker.kill()
    os.kill(job.pid, signal.SIGKILL)
    start_worker("second")
    ended(job, 40)
    assert job.status == "failed" and job.error["class"] == "lost" and "step " in job.error["message"]
    assert "Resume" in job.error["advice"]


@pytest.mark.long
def test_what_ended_while_no_worker_looked_is_ended_properly(launch_words, start_worker):
    job = launch_words(max_steps=40, pause=0.05)
    worker = start_worker("first")
    at_step(job, 3)
    worker.kill()
    wait_for(lambda: not trainings(settings.HOME / "runs"), 20)
    start_worker("second")
    ended(job, 20)
    assert (job.status, job.step, job.attempts) == ("succeeded", 40, 1) and whole(job, 40)


@pytest.mark.long
def test_a_worker_that_is_asked_to_end_lets_go_at_once_and_its_training_lives_on(launch_words, start_worker):
    job = launch_words(max_steps=150, pause=0.05)
    worker = start_worker("first")
    at_step(job, 5)
    assert WorkerBeat.listening() == {"train"}
    worker.process.terminate()
    wait_for(lambda: TrainingJob.objects.filter(pk=job.pk, status="running", worker="").exists(), 2)
    worker.stop()
    assert len(trainings(settings.HOME / "runs")) == 1 and WorkerBeat.listening() == set()
    start_worker("second")
    ended(job, 40)
    assert (job.status, len(starts(job))) == ("succeeded", 1) and whole(job, 150)


def test_a_lost_message_is_sent_again_by_an_idle_trainer(launch_words, start_worker):
    job = launch_words(max_steps=3)
    with app.connection_for_write() as broker:
        assert broker.default_channel.queue_purge("train") == 1
    TrainingJob.objects.update(sent=timezone.now() - timedelta(minutes=1))
    start_worker()
    assert ended(job).status == "succeeded"


def test_messages_do_not_pile_up_while_a_job_waits(launch_words):
    running, _ = launch_words(), launch_words()
    with app.connection_for_write() as broker:
        broker.default_channel.queue_purge("train")
    for _ in range(5):
        TrainingJob.objects.update(sent=timezone.now() - timedelta(hours=1))
        reconcile({"train"})
    assert waiting("train") == 1  # sent again once, and then seen to be there
    with app.connection_for_write() as broker:
        broker.default_channel.queue_purge("train")
    TrainingJob.objects.filter(pk=running.pk).update(status="running", host=hosts.place(), worker=hosts.identity())
    TrainingJob.objects.update(heartbeat=timezone.now())
    reconcile({"train"})
    assert waiting("train") == 0  # a trainer at work is not woken


def test_stopping_the_studio_saves_every_training_and_the_next_start_goes_on(launch_words, start_worker):
    job = launch_words(max_steps=150, pause=0.05)
    worker = start_worker("first")
    at_step(job, 7)
    worker.stop()
    stop_children()
    job.refresh_from_db()
    assert (job.status, job.attempts, job.pid) == ("queued", 0, None) and not trainings(settings.HOME / "runs")
    start_worker("second")
    ended(job)
    (_, _), (_, second) = starts(job)
    assert job.status == "succeeded" and int(second) >= 7 and whole(job, 150)


@pytest.mark.long
def test_stopping_the_studio_keeps_what_had_ended_or_was_to_be_cancelled(launch_words, start_worker):
    job = launch_words(max_steps=200, pause=0.05)
    worker = start_worker()
    at_step(job, 7)
    worker.stop()
    cancel(job, "save")
    stop_children()
    job.refresh_from_db()
    assert job.status == "stopped" and job.model.status == "ready"


def test_the_database_refuses_two_running_jobs_in_one_place(launch_words):
    launch_words(), launch_words()
    with pytest.raises(IntegrityError), transaction.atomic():
        TrainingJob.objects.update(status="running", host=hosts.place())


def test_a_machine_that_is_silent_for_long_loses_its_job_with_the_reason(launch_words):
    job, other = launch_words(), launch_words()
    long_ago = timezone.now() - timedelta(minutes=11)
    TrainingJob.objects.filter(pk=job.pk).update(status="running", host="box-7:/home#", heartbeat=long_ago, worker="x")
    soon = timezone.now() - timedelta(minutes=2)
    TrainingJob.objects.filter(pk=other.pk).update(status="running", host="box-8:/home#", heartbeat=soon, worker="y")
    mark_gone()
    job.refresh_from_db(), other.refresh_from_db()
    assert job.status == "failed" and job.error["message"] == "box-7 has not been heard of for 10 minutes."
    assert other.status == "running"


@pytest.mark.long
def test_a_machine_that_was_only_out_of_reach_takes_its_job_back(launch_words, start_worker):
    job = launch_words(max_steps=120, pause=0.05)
    start_worker()
    at_step(job, 3)
    TrainingJob.objects.filter(pk=job.pk).update(status="failed", worker="", error={"class": "lost", "message": "gone"})
    time.sleep(1)
    ended(at_step(job, 110), 30)
    assert (job.status, job.error, len(starts(job))) == ("succeeded", None, 1) and whole(job, 120)


def test_a_job_that_dies_again_and_again_without_a_checkpoint_is_not_started_for_ever(launch_words):
    job = launch_words(max_steps=60, save_steps=0)
    run_dir = store().work(job.run_dir)
    for starts_so_far in (1, 2):
        assert claim(job)
        prepare(job)
        (run_dir / "checkpoints" / "checkpoint-5").mkdir(parents=True, exist_ok=True)
        os.utime(run_dir / "checkpoints" / "checkpoint-5", (1, 1))  # of long ago: this start made none
        TrainingJob.objects.filter(pk=job.pk).update(pid=1)
        job.refresh_from_db()
        finish(job, run_dir, None)
        job.refresh_from_db()
        assert (job.status, job.attempts) == ("queued", starts_so_far)
    assert claim(job)
    finish(job, run_dir, None)
    job.refresh_from_db()
    assert job.status == "failed" and job.error["class"] == "lost"


def test_every_kind_of_waiting_work_is_looked_at(db):
    assert all(import_string(dotted)() == 0 for dotted in LOST)


def test_a_process_whose_job_went_elsewhere_is_ended_when_its_worker_comes_back(launch_words, start_worker):
    job = launch_words(max_steps=1000, pause=0.05)
    worker = start_worker()
    at_step(job, 3)
    worker.kill()
    TrainingJob.objects.filter(pk=job.pk).update(host="box-7:/home#", worker="box-7/1/1/abc")
    end_strays()
    wait_for(lambda: not trainings(settings.HOME / "runs"), 5)


def test_a_follower_that_lost_its_job_to_another_machine_ends_its_process(launch_words, start_worker):
    job = launch_words(max_steps=1000, pause=0.05)
    start_worker()
    at_step(job, 3)
    TrainingJob.objects.filter(pk=job.pk).update(host="box-7:/home#", worker="box-7/1/1/abc")
    wait_for(lambda: not trainings(settings.HOME / "runs"), 10)
    job.refresh_from_db()
    assert job.status == "running" and job.worker.startswith("box-7")


def test_redis_gone_and_back_loses_neither_the_running_job_nor_the_queued_one(launch_words, start_worker, own_redis):
    start_redis, kill_redis = own_redis
    url = start_redis()
    start_worker(CELERY_BROKER_URL=url)
    running, queued = launch_words(max_steps=80, pause=0.05), launch_words(max_steps=3)
    TrainingJob.objects.update(sent=None)
    at_step(running, 3)
    kill_redis()
    ended(running, 30)
    assert running.status == "succeeded" and whole(running, 80)
    start_redis()
    assert ended(queued, 60).status == "succeeded"


@pytest.mark.skipif("connection.vendor != 'postgresql'")
def test_postgresql_away_for_a_while_costs_no_line_of_a_running_job(launch_words, start_worker):
    job = launch_words(max_steps=150, pause=0.05)
    start_worker()
    at_step(job, 3)
    name, known = connection.settings_dict["NAME"], connection.settings_dict
    login = {"host": known["HOST"], "port": known["PORT"], "user": known["USER"], "password": known["PASSWORD"] or None}
    with psycopg.connect(dbname="postgres", autocommit=True, **login) as admin:
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        try:
            for _ in range(4):  # and whoever slips in again is thrown out again
                admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
                time.sleep(1)
        finally:
            admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    connection.close()
    connection.close_pool()
    ended(job, 60)
    assert (job.status, job.attempts, len(starts(job))) == ("succeeded", 1, 1) and whole(job, 150)


def test_run_job_in_a_worker_that_ends_does_not_wait_for_the_training(launch_words, request):
    job = launch_words(max_steps=100, pause=0.05)
    follow.leave()
    request.addfinalizer(lambda: follow.LEAVING.__setitem__(0, 0))
    run_job(job)
    job.refresh_from_db()
    assert (job.status, job.worker) == ("running", "") and job.pid
    stop_children()
