"""Follow a training: its files become rows, requests reach its process, and a database that is away loses nothing."""

import logging
import mmap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction

from training import rollouts
from training.alarms import Watch, disproved
from training.children import Child
from training.metrics import KEEP_EVERY, catch_up
from training.models import Metric, Sample, TrainingJob
from training.tail import Tail, clean, finite, last_bytes

logger = logging.getLogger(__name__)
POLL = 0.5  # seconds
BEAT = 5.0
GRACE = 5.0  # between SIGTERM and SIGKILL, for "stop now"
RETRY = 1.0  # while the database is away
LOG_TAIL = 64 * 1024
LOG_EVERY = 2.0
BEGUN, LATELY = 50, 1000  # lines
LEAVING = mmap.mmap(-1, 1)  # set when this worker shuts down; shared with pool processes forked from it
AWAY = (OperationalError, InterfaceError)


def leave(*_, **__) -> None:
    """This worker shuts down: followers let go of their children, which train on."""
    LEAVING[0] = 1


def leaving() -> bool:
    return LEAVING[0] == 1


class Follower:
    """One job, one child, for as long as `worker` is this follower's name in the row."""

    def __init__(self, job: TrainingJob, run_dir: Path):
        self.job, self.run_dir, self.name = job, run_dir, job.worker
        self.metrics = Tail(run_dir / "metrics.jsonl", next_line(job.metrics))
        self.samples = Tail(run_dir / "samples.jsonl", next_line(job.samples))
        self.rollouts = Tail(run_dir / rollouts.FILE, next_line(job.rollouts))
        self.watch = Watch({alarm["kind"] for alarm in job.alarms})
        for step, values in remembered(job):
            self.watch.feed(step, values)
        self.watched = self.metrics.line
        self.unthinned, self.log_size, self.log_read = 0, -1, 0.0
        self.asked, self.asked_at = "", 0.0

    def until_end(self, child: Child) -> bool:
        """True when the child ended and all it wrote is kept; False when the job is no longer this follower's."""
        while not leaving():
            ended = not child.alive()  # looked at before reading, so that the last lines are read too
            try:
                if not self.read(ended):
                    return False
                self.obey(child)
            except AWAY as error:
                logger.warning("job %s: the database is away, trying again: %s", self.job.pk, str(error).strip())
                connection.close()
                time.sleep(RETRY)
                continue
            if ended:
                return True
            time.sleep(POLL)
        return False

    def read(self, everything: bool) -> bool:
        """Move new lines into rows. False when the row is not ours any more."""
        while True:
            files = self.metrics, self.samples, self.rollouts
            pieces = [file.peek() for file in files]
            mine = self.keep(*(piece.rows for piece in pieces), everything)
            for file, piece in zip(files, pieces, strict=True):
                file.advance(piece)
            if not mine or not any(piece.more for piece in pieces):
                return mine

    def keep(self, metrics: list, samples: list, groups: list, everything: bool) -> bool:
        changes = self.progress(metrics) | self.log(everything)
        mine = TrainingJob.objects.filter(pk=self.job.pk, worker=self.name)
        with transaction.atomic():
            if metrics:
                rows = [metric_of(self.job, line, record) for line, record in metrics]
                Metric.objects.bulk_create(rows, ignore_conflicts=True, batch_size=1000)
            if samples:
                rows = [sample_of(self.job, line, record) for line, record in samples]
                Sample.objects.bulk_create(rows, ignore_conflicts=True, batch_size=200)
            if groups:
                rollouts.keep([rollouts.row_of(self.job, line, record) for line, record in groups])
            ours = mine.update(**changes) if changes else mine.exists()
        self.unthinned += len(metrics)
        if self.unthinned >= KEEP_EVERY or (everything and self.unthinned):
            catch_up(self.job)
            self.unthinned = 0
        return bool(ours)

    def progress(self, metrics: list) -> dict[str, Any]:
        """What the row says after these lines."""
        if not metrics:
            return {}
        for line, record in metrics:
            self.job.latest |= record["values"]
            if line >= self.watched:  # not when a piece comes again because it could not be stored
                standing = [alarm for alarm in self.job.alarms if not disproved(alarm, record["values"])]
                self.job.alarms = standing + self.watch.feed(record["step"], record["values"])
                self.watched = line + 1
        last = metrics[-1][1]
        known = {"step": last["step"], "total": last.get("total") or 0, "eta": last.get("eta")}
        return known | {"latest": self.job.latest, "alarms": self.job.alarms}

    def log(self, everything: bool) -> dict[str, Any]:
        path, now = self.run_dir / "log.txt", time.monotonic()
        size = path.stat().st_size if path.exists() else 0
        if size == self.log_size or (now - self.log_read < LOG_EVERY and not everything):
            return {}
        self.log_size, self.log_read = size, now
        return {"log": clean(last_bytes(path, LOG_TAIL))}

    def obey(self, child: Child) -> None:
        """Pass a cancel request on: "save" asks once and waits; "stop" asks, and kills after a short grace."""
        wanted = TrainingJob.objects.filter(pk=self.job.pk).values_list("cancel", flat=True).first()
        if wanted and wanted != self.asked:
            self.asked, self.asked_at = wanted, time.monotonic()
            child.ask_to_save()
        if self.asked == "stop" and time.monotonic() - self.asked_at > GRACE:
            child.kill()


def remembered(job: TrainingJob) -> list[tuple[int, dict]]:
    """What a new follower's watch is told of a run: how it began, and what came last."""
    first = list(job.metrics.order_by("line").values_list("line", "step", "values")[:BEGUN])
    after = first[-1][0] if first else -1
    last = job.metrics.filter(line__gt=after).order_by("-line").values_list("line", "step", "values")[:LATELY]
    return [(step, values) for _, step, values in [*first, *reversed(last)]]


def next_line(rows) -> int:
    last = rows.order_by("-line").values_list("line", flat=True).first()
    return 0 if last is None else last + 1


def metric_of(job: TrainingJob, line: int, record: dict) -> Metric:
    return Metric(job=job, line=line, step=record["step"], time=record.get("time") or 0, values=record["values"])


def sample_of(job: TrainingJob, line: int, record: dict) -> Sample:
    reward = record.get("reward") if finite(record.get("reward")) else None
    known = {"prompt": record.get("prompt") or [], "parts": record.get("parts") or {}, "reward": reward}
    return Sample(job=job, line=line, step=record["step"], completion=str(record.get("completion", "")), **known)


@contextmanager
def heartbeat(sign: Callable[[], object]) -> Iterator[None]:
    """Call `sign` every few seconds from a thread: fetching a model or publishing one may take minutes."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(BEAT):
            try:
                sign()
            except DatabaseError:
                connection.close()
        connection.close()

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=2)


def insist(call: Callable, *args) -> Any:
    """Call until the database answers: what happens at the end of a job must not be lost to a restart of it."""
    while True:
        try:
            return call(*args)
        except AWAY as error:
            logger.warning("the database is away, trying again: %s", str(error).strip())
            connection.close()
            if leaving():
                raise
            time.sleep(RETRY)
