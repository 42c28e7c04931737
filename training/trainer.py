"""What a trainer does with a job: claim it, start its process, stay with it, and pick up what another worker left."""

import logging
import time
from pathlib import Path

from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import F
from django.utils import timezone

from annotation.store import store
from training import hosts, rundir, wake
from training.children import Child
from training.ending import advice_on, end, failure, finish, kind_of, read_result, requeue
from training.follow import AWAY, Follower, heartbeat, insist, leaving
from training.models import TrainingJob

logger = logging.getLogger(__name__)
RUNNING = ("running", "stopping")


def run_job(job: TrainingJob) -> None:
    """Take the job that is first in this one's queue, and stay with it to its end.

    A message for a job that runs already, or ended, does nothing: messages only wake trainers.
    """
    if job.status != "queued":
        return
    while first := TrainingJob.objects.filter(queue=job.queue, status="queued").order_by("pk").first():
        came_from = first.host
        try:
            if claim(first):
                return work(first, came_from)
        except IntegrityError:
            return  # this place trains something; the job stays first and is woken when that ends


def claim(job: TrainingJob) -> bool:
    """Make a queued job this follower's. The row count is the lock; one job a place is the database's own rule."""
    now = timezone.now()
    ours = {"worker": hosts.identity(), "host": hosts.place(), "heartbeat": now, "started": job.started or now}
    queued = TrainingJob.objects.filter(pk=job.pk, status="queued")
    with transaction.atomic():
        taken = queued.update(status="running", attempts=F("attempts") + 1, pid=None, pid_started=None, **ours)
    if taken:
        job.refresh_from_db()
    return bool(taken)


def work(job: TrainingJob, came_from: str) -> None:
    run_dir = store().work(job.run_dir)
    with heartbeat(lambda: sign(job)):
        try:
            rundir.prepare(job, came_from)
            child = Child.of(rundir.start(job, run_dir), run_dir)
        except DatabaseError:
            raise  # reconciling finds a claimed job without a child, and queues it again
        except Exception as error:  # whatever it was, the job must say so
            logger.exception("job %s could not be started", job.pk)
            why = failure(kind_of(error), str(error) or repr(error), advice_on(error))
            return insist(lambda: end(job, run_dir, "failed", error=why))
        insist(record, job, child)
        watch(job, run_dir, child)


def sign(job: TrainingJob) -> None:
    TrainingJob.objects.filter(pk=job.pk, worker=job.worker).update(heartbeat=timezone.now())


def record(job: TrainingJob, child: Child) -> None:
    TrainingJob.objects.filter(pk=job.pk, worker=job.worker).update(pid=child.pid, pid_started=child.since)
    job.pid, job.pid_started = child.pid, child.since


def watch(job: TrainingJob, run_dir: Path, child: Child) -> None:
    """Follow the child until it ended, this worker shuts down, or someone else has the job."""
    follower = insist(Follower, job, run_dir)
    while not follower.until_end(child):
        if leaving():
            return let_go(job)
        if not insist(revive, job):
            return None if insist(still_here, job) else child.kill()
    insist(finish, job, run_dir, child.code)
    insist(wake.next_in, job.queue)


def let_go(job: TrainingJob) -> None:
    """The child trains on; the next worker of this place follows it."""
    try:
        TrainingJob.objects.filter(pk=job.pk, worker=job.worker).update(worker="", heartbeat=timezone.now())
    except AWAY:
        connection.close()  # the next worker sees that this process is gone


def revive(job: TrainingJob) -> bool:
    """Take back a job that was given up for lost while this machine was out of reach, if nobody resumed it since."""
    given_up = TrainingJob.objects.filter(pk=job.pk, host=hosts.place(), status="failed", **{"error__class": "lost"})
    back = {"status": "running", "worker": job.worker, "heartbeat": timezone.now(), "error": None, "finished": None}
    try:
        with transaction.atomic():
            return bool(given_up.update(**back))
    except IntegrityError:  # something else trains here meanwhile
        return False


def still_here(job: TrainingJob) -> bool:
    """Whether another follower on this machine has the job."""
    return TrainingJob.objects.filter(pk=job.pk, status__in=RUNNING, host=hosts.place()).exists()


def adopt(job: TrainingJob) -> bool:
    """Become the follower of a job whose follower is gone. The row count is the lock."""
    name = hosts.identity()
    orphan = TrainingJob.objects.filter(pk=job.pk, status__in=RUNNING, worker=job.worker)
    taken = orphan.update(worker=name, heartbeat=timezone.now())
    if taken:
        job.refresh_from_db()
    return bool(taken)


def attach(job: TrainingJob) -> None:
    """Follow an adopted job's child again, or end what it left."""
    run_dir = store().work(job.run_dir)
    with heartbeat(lambda: sign(job)):
        if child := child_of(job, run_dir):
            insist(record, job, child)
            return watch(job, run_dir, child)
        insist(lambda: Follower(job, run_dir).read(everything=True))
        insist(finish, job, run_dir, None)
        insist(wake.next_in, job.queue)


def child_of(job: TrainingJob, run_dir: Path) -> Child | None:
    if hosts.alive(job.pid, job.pid_started):
        return Child(job.pid, job.pid_started, run_dir)
    return Child.find(run_dir)  # the worker may have died before it wrote the pid down


def stop_children(seconds: float = 120) -> None:
    """When the studio stops: trainings of this machine save and go back into the queue, to go on at its next start."""
    here = TrainingJob.objects.filter(status__in=RUNNING, host__startswith=f"{hosts.machine()}#")
    children = [(job, child_of(job, store().work(job.run_dir))) for job in here if adopt(job)]
    for job, child in children:
        logger.info("job %s saves before the studio stops", job.pk)
        if child:
            child.ask_to_save()
    until = time.monotonic() + seconds
    for job, child in children:
        if child and not child.wait(max(0, until - time.monotonic())):
            child.kill()
        put_back(job, store().work(job.run_dir))


def put_back(job: TrainingJob, run_dir: Path) -> None:
    Follower(job, run_dir).read(everything=True)
    status = (read_result(run_dir) or {}).get("status")
    if job.cancel or status in ("succeeded", "failed"):
        finish(job, run_dir, None)
    else:
        requeue(job, run_dir, attempts=job.attempts - 1)
