"""Wake workers through the broker. The database is the truth: a message that is not sent delays, it loses nothing."""

import logging
from datetime import timedelta

from celery import current_app
from django.db import transaction
from django.utils import timezone
from kombu.exceptions import KombuError

from training.models import TrainingJob

logger = logging.getLogger(__name__)
QUIET = timedelta(seconds=15)  # after a message, before another is sent for the same job
RETRY = {"max_retries": 1, "interval_start": 0, "interval_max": 0.2}


def send(task: str, pk: int, queue: str = "default") -> bool:
    """Whether the broker took the message. A broker that is away is a warning, never an error."""
    try:
        current_app.send_task(task, [pk], queue=queue, retry_policy=RETRY)
    except (KombuError, OSError) as error:
        logger.warning("the broker does not answer, %s %s is sent later: %s", task, pk, error)
        return False
    return True


def on_commit(task: str, pk: int, queue: str = "default") -> None:
    transaction.on_commit(lambda: send(task, pk, queue))


def send_job(pk: int, queue: str) -> None:
    if send("training.tasks.train", pk, queue):
        TrainingJob.objects.filter(pk=pk).update(sent=timezone.now())


def job_on_commit(job: TrainingJob) -> None:
    transaction.on_commit(lambda: send_job(job.pk, job.queue))


def waiting(queue: str) -> int:
    """Messages in the queue that no worker has taken; none when the broker does not answer."""
    try:
        with current_app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=2)
            return connection.default_channel.queue_declare(queue, passive=True).message_count
    except Exception as error:  # every transport has errors of its own for a queue that does not exist yet
        logger.debug("queue %s: %s", queue, error)
        return 0


def next_in(queue: str) -> bool:
    """Send the message of the job that is first in the queue, unless a message is under way already."""
    job = TrainingJob.objects.filter(queue=queue, status="queued").order_by("pk").first()
    if job is None or (job.sent and timezone.now() - job.sent < QUIET) or waiting(queue):
        return False
    send_job(job.pk, queue)
    return True
