"""Bring database and workers together again: follow what lost its worker, wake what lost its message, end the lost."""

import logging
import threading
import time
from datetime import timedelta

import psutil
from django.conf import settings
from django.db import connection
from django.utils import timezone
from django.utils.module_loading import import_string

from training import hosts, wake
from training.ending import RESUME, failure
from training.models import HEARTBEAT, TrainingJob
from training.trainer import RUNNING, adopt, attach, revive

logger = logging.getLogger(__name__)
GONE = timedelta(minutes=10)  # a machine silent for longer is taken to be off
PATIENCE = 15.0  # seconds between two looks at what waits for the default queue
LOST = (  # each sends again what lost its message or its worker, and returns how many
    "annotation.importing.ingest.wake_lost",
    "annotation.freezing.freeze.wake_lost",
    "training.completing.wake_lost",
    "training.fetching.wake_lost",
    "training.labeling.runs.wake_lost",
    "training.preflights.wake_lost",
    "training.reward_trials.wake_lost",
    "training.searching.wake_lost",
    "training.search_evaluating.wake_lost",
)
waited = -PATIENCE


def reconcile(queues: set[str]) -> None:
    """One round, for a worker that listens to `queues`. Cheap when there is nothing to do; runs every few seconds."""
    mark_gone()
    if trains_from := queues - {"default"}:
        take_up()
        if not busy():
            any(wake.next_in(queue) for queue in sorted(trains_from))
    if "default" in queues:
        wake_waiting()


def busy() -> bool:
    return TrainingJob.objects.filter(status__in=RUNNING, host=hosts.place()).exists()


def take_up() -> None:
    """Follow jobs of this place that nobody follows, each in a thread: the pool may be waiting for a message."""
    for job in TrainingJob.objects.filter(status__in=RUNNING, host=hosts.place()):
        silent = job.heartbeat is None or timezone.now() - job.heartbeat > HEARTBEAT
        if (silent or not job.worker or not hosts.follower_alive(job.worker)) and adopt(job):
            logger.info("job %s lost its worker; following it again", job.pk)
            threading.Thread(target=follow, args=[job], name=f"job {job.pk}", daemon=True).start()


def follow(job: TrainingJob) -> None:
    try:
        attach(job)
    finally:
        connection.close()


def end_strays() -> None:
    """At a worker's start: processes that train for a job which is not this machine's any more. Nothing runs twice."""
    runs = f"{settings.HOME / 'runs'}/"
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or [""]
        name = line[-1].removeprefix(runs)
        if line[-1].startswith(runs) and name.isdigit() and not ours(int(name)):
            logger.warning("process %s trains for job %s, which is not here any more; it is ended", process.pid, name)
            process.kill()


def ours(pk: int) -> bool:
    if TrainingJob.objects.filter(pk=pk, status__in=RUNNING, host__startswith=f"{hosts.machine()}#").exists():
        return True
    job = TrainingJob.objects.filter(pk=pk, status="failed").first()
    return job is not None and revive(job)


def mark_gone() -> None:
    """Jobs of machines that have not been heard of for long fail, with the reason; they can be resumed elsewhere."""
    silent = TrainingJob.objects.filter(status__in=RUNNING, heartbeat__lt=timezone.now() - GONE)
    for job in silent.exclude(host=hosts.place()):
        minutes = GONE.total_seconds() // 60
        message = f"{job.host.partition(':')[0]} has not been heard of for {minutes:.0f} minutes."
        fields = {"error": failure("lost", message, RESUME), "finished": timezone.now(), "worker": ""}
        still_silent = TrainingJob.objects.filter(pk=job.pk, worker=job.worker, heartbeat=job.heartbeat)
        still_silent.update(status="failed", **fields)


def wake_waiting() -> None:
    """Rows of other kinds that lost their message or worker; unless messages wait, which a busy worker will come to."""
    global waited
    if time.monotonic() - waited < PATIENCE or wake.waiting("default"):
        return
    waited = time.monotonic()
    for dotted in LOST:
        if woken := import_string(dotted)():
            logger.info("%s: %s woken", dotted, woken)
