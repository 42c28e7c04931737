"""What every background run shares: one worker at a time, signs of life, cancelling, waking what was lost."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from training import wake
from training.models import BackgroundRun

SILENT = timedelta(seconds=60)  # a run not heard of for longer has lost its worker
LOOK = 1.0  # seconds between two looks whether to stop
UNFINISHED = ("queued", "running")


def claim(run: BackgroundRun) -> bool:
    """One worker at a time: the row count is the lock, and a silent one may be taken over."""
    now = timezone.now()
    free = Q(status="queued") | Q(status="running", heartbeat__lt=now - SILENT)
    rows = type(run).objects.filter(free, pk=run.pk)
    return bool(rows.update(status="running", heartbeat=now, started=now, done=0))


def wake_lost(kind: type[BackgroundRun], task: str) -> int:
    """Send runs again whose message or worker was lost."""
    since = timezone.now() - SILENT
    unheard = Q(heartbeat__lt=since) | Q(heartbeat=None, created__lt=since)
    lost = list(kind.objects.filter(unheard, status__in=UNFINISHED))
    return sum(wake.send(task, run.pk) for run in lost)


async def beat(
    run: BackgroundRun, stop: Callable[[], object] = lambda: None, told: Callable[[], dict] = lambda: {}
) -> None:
    """Signs of life while a slow model thinks, with the fields `told` has; calls `stop` once when it is cancelled."""
    rows, stopped = type(run).objects.filter(pk=run.pk), False
    while True:
        if not stopped and await rows.filter(cancel=True).aexists():
            stopped = True
            stop()
        await rows.aupdate(heartbeat=timezone.now(), **told())
        await asyncio.sleep(LOOK)


def cancel(run: BackgroundRun) -> None:
    """A running one stops as soon as it looks, and what it has is kept; a queued one ends at once."""
    rows = type(run).objects.filter(pk=run.pk)
    rows.filter(status="queued").update(status="cancelled", finished=timezone.now())
    rows.filter(status="running").update(cancel=True)


def end(run: BackgroundRun, status: str, message: str = "", **fields) -> None:
    rows = type(run).objects.filter(pk=run.pk)
    rows.update(status=status, message=message, finished=timezone.now(), **fields)


def broken(fault: Exception) -> str:
    """What to say of a fault of ours: it would come again, so the run ends, and the worker's log tells the rest."""
    return f"The worker failed ({type(fault).__name__}); its log says more."
