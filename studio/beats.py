"""A worker's signs of life, one row for each queue it listens to; and with them the rounds of reconciling."""

import logging
import threading
import time
from datetime import timedelta

from django.db import connection
from django.utils import timezone

from studio.models import WorkerBeat
from training import follow, hosts
from training.reconcile import end_strays, reconcile

logger = logging.getLogger(__name__)
EVERY = 5.0  # seconds
RECONCILE_EVERY = 10.0
FORGET = timedelta(days=1)
ending = threading.Event()


def start(worker) -> None:
    """Called when a worker is ready."""
    queues = set(worker.app.amqp.queues.consume_from)
    threading.Thread(target=beat, args=[worker.hostname, queues], name="beats", daemon=True).start()


def stop() -> None:
    """Called when it is asked to shut down; from a signal handler, so the thread does the rest."""
    follow.leave()
    ending.set()


def beat(name: str, queues: set[str]) -> None:
    device = hosts.device_name() if queues - {"default"} else ""
    if device:
        attempt(end_strays)
    reconciled = 0.0
    while not ending.is_set():
        attempt(sign, name, queues, device)
        if time.monotonic() - reconciled >= RECONCILE_EVERY:
            attempt(reconcile, queues)
            reconciled = time.monotonic()
        ending.wait(EVERY)
    attempt(WorkerBeat.objects.filter(name__startswith=f"{name} ").delete)


def sign(name: str, queues: set[str], device: str) -> None:
    now = timezone.now()
    for queue in queues:
        known = {"queue": queue, "device": device if queue != "default" else "", "seen": now}
        WorkerBeat.objects.update_or_create(name=f"{name} {queue}", defaults=known)
    WorkerBeat.objects.filter(seen__lt=now - FORGET).delete()


def attempt(call, *args) -> None:
    """A round that fails, for a database or broker that is away, is only a round."""
    try:
        call(*args)
    except Exception:
        logger.warning("%s failed; trying again in a moment", getattr(call, "__name__", call), exc_info=True)
        connection.close()
