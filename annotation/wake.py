"""Tell workers through the broker. The database is the truth: a message not sent delays, it loses nothing."""

import logging

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)
RETRY = {"max_retries": 1, "interval_start": 0, "interval_max": 0.2}


def on_commit(task: str, pk: int) -> None:
    transaction.on_commit(lambda: send(task, pk))


def send(task: str, pk: int) -> None:
    """A broker that is away is a warning, never an error; whoever looks at the page next sends it again."""
    try:
        current_app.send_task(task, [pk], retry_policy=RETRY)
    except (OperationalError, OSError) as error:
        logger.warning("the broker does not answer, %s %s is sent later: %s", task, pk, error)
