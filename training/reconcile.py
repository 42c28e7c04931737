"""Bring database and workers together again: follow what lost its worker, wake what lost its message, end the lost."""

import logging
import threading
import time
from datetime import timedelta

import psutil
from celery.worker import state
from django.apps import apps
from django.conf import settings
from django.db import connection
from django.db.models import Q
from django.utils import timezone

from training import hosts, wake
from training.ending import RESUME, failure
from training.models import HEARTBEAT, TrainingJob
from training.trainer import RUNNING, adopt, attach

logger = logging.getLogger(__name__)
GONE = timedelta(minutes=10)  # a machine silent for longer is taken to be off
PATIENCE = 30.0  # seconds before a row that waits for a worker gets its message again; then ever longer
WAITING = {  # rows of these kinds wait for the default queue: what says so, and the task that does it
    "annotation.Import": (Q(status="queued"), "annotation.tasks.import_file"),
    "annotation.Dataset": (Q(status="freezing"), "annotation.tasks.freeze_dataset"),
    "training.ModelVersion": (Q(status="fetching", job=None), "training.tasks.fetch_model"),
    "training.Preflight": (Q(status="queued"), "training.tasks.preflight"),
    "training.CompletionRun": (Q(status="queued"), "training.tasks.complete"),
}
resent: dict[tuple[str, int], tuple[float, float]] = {}  # when it was first missed, and last sent


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
    return TrainingJob.objects.filter(pk=pk, status__in=RUNNING, host__startswith=f"{hosts.machine()}#").exists()


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
    """Send the message again for rows no worker took up, unless messages are waiting or a worker is at it."""
    old = timezone.now() - timedelta(seconds=PATIENCE)
    for label, (waits, task) in WAITING.items():
        rows = list(apps.get_model(label).objects.filter(waits, created__lt=old).values_list("pk", flat=True)[:20])
        if rows and not wake.waiting("default"):
            for pk in rows:
                wake_again(label, pk, task)


def wake_again(label: str, pk: int, task: str) -> None:
    begun, last = resent.get((label, pk), (time.monotonic(), 0.0))
    now = time.monotonic()
    if now - last < max(PATIENCE, (now - begun) / 2) or working_on(task, pk):
        return
    resent[label, pk] = (begun, now)
    wake.send(task, pk)


def working_on(task: str, pk: int) -> bool:
    """Whether this very worker is at it."""
    return any(request.name == task and list(request.args or []) == [pk] for request in state.active_requests)
