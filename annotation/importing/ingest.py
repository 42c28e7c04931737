"""Run an import: read a file batch by batch, land what is good, report what is not, survive a lost worker."""

import errno
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from annotation import wake
from annotation.bulk import ahead
from annotation.importing import uploads
from annotation.importing.cells import BadFile, BadRow
from annotation.importing.columns import check, guess
from annotation.importing.items import Item
from annotation.importing.landing import Landed, land
from annotation.importing.prepare import Prepared, prepare
from annotation.importing.problems import Problems
from annotation.importing.readers import Source
from annotation.importing.shapes import SHAPES, items
from annotation.models import Import, Project
from annotation.steps.landing import land_traces
from annotation.steps.preparing import PreparedTrace, prepare_trace
from annotation.steps.recognising import foreign
from annotation.store import store

BATCH_ROWS = 2000
BATCH_CHARACTERS = 8_000_000
SQLITE_ROWS = 500_000  # in one transaction: nobody else can write meanwhile
STRICT_LANDING = timedelta(minutes=15)
SILENT = timedelta(seconds=30)  # a running import without a sign of life for longer has lost its worker
TASK = "annotation.tasks.import_file"

Progress = Callable[[Import], None]


class Stopped(Exception):
    """The import was cancelled, or another worker took it over."""


def import_path(
    project: Project,
    path: str | Path,
    mapping: dict[str, Any] | None = None,
    strict: bool = False,
    progress: Progress | None = None,
    user: Any = None,
) -> Import:
    """Import a file or folder here and now. BadFile when it cannot be read at all; else see the Import's report."""
    path = Path(path)
    mapping = fit(path, mapping or {}, project)
    job = Import.objects.create(project=project, created_by=user, name=path.name[:255], mapping=mapping, strict=strict)
    run(job, path, progress)
    return job


def fit(path: Path, mapping: dict[str, Any], project: Project) -> dict[str, Any]:
    """The mapping with what it leaves open guessed from the first rows; BadFile when that cannot work."""
    source = Source(path, mapping.get("format", ""))
    head = [value for _, value in islice(source, 100)]
    rows = [value for value in head if not isinstance(value, BadRow)]
    if not rows:
        raise BadFile(f"No row can be read. The first says: {head[0]}." if head else "The file holds no rows.")
    said = {field: column for field, column in mapping.items() if column}
    if "shape" not in said and (trouble := foreign(rows, project.kind)):
        raise BadFile(trouble)
    rule = {"rule": project.split_rule} if project.kind == "steps" else {}
    mapping = {"format": source.format} | guess(rows, said, project.kind) | rule | said
    names = {name for row in rows for name in (row if isinstance(row, dict) else ("prompt",))}
    if trouble := check(mapping, names, project.kind):
        raise BadFile(trouble)
    return mapping


@transaction.atomic
def queue_import(project: Project, key: str, name: str, mapping: dict, strict: bool, user: Any) -> Import:
    """Note an uploaded file for import and wake a worker. Asked again for the same, it is the same import."""
    Project.objects.select_for_update().get(pk=project.pk)
    same = project.imports.filter(file=key, strict=strict).exclude(status__in=["failed", "cancelled"])
    if twin := next((job for job in same if job.mapping == mapping), None):
        return twin
    fields = {"name": name[:255], "file": key, "mapping": mapping, "strict": strict, "created_by": user}
    job = Import.objects.create(project=project, total=store().fetch(key).stat().st_size, **fields)
    wake.on_commit(TASK, job.pk)
    return job


def accept_upload(project: Project, file: Any, user: Any = None, strict: bool = False, mapping: dict | None = None):
    """Keep an uploaded file, guess what its columns are and queue its import; BadFile when that cannot work."""
    key = uploads.keep(file)
    try:
        mapping = fit(store().fetch(key), mapping or {}, project)
    except BadFile:
        store().remove(key)
        raise
    return queue_import(project, key, file.name or "upload", mapping, strict, user)


def wake_lost() -> int:
    """Send imports again whose message or worker was lost; claiming keeps them from running twice."""
    now = timezone.now()
    unheard = Q(heartbeat__lt=now - SILENT) | Q(heartbeat=None, created__lt=now - SILENT)
    lost = list(Import.objects.exclude(file="").filter(unheard, status__in=["queued", "running"]))
    for job in lost:
        Import.objects.filter(pk=job.pk, status="queued").update(heartbeat=now)
        wake.send(TASK, job.pk)
    return len(lost)


def lost(job: Import) -> bool:
    """Whether it runs without a sign of life, so that another worker has to go on with it."""
    return job.status == "running" and job.heartbeat < timezone.now() - SILENT


def cancel(job: Import) -> bool:
    """Stop an import; what has landed stays. False when it had ended already."""
    unfinished = Import.objects.filter(pk=job.pk, status__in=["queued", "running"])
    return bool(unfinished.update(status="cancelled", finished=timezone.now()))


def run_import(job: Import) -> None:
    """What a worker does with an uploaded file."""
    try:
        path = store().fetch(job.file)
    except OSError as error:
        Import.objects.filter(pk=job.pk).update(
            status="failed", finished=timezone.now(), message=f"The uploaded file is gone: {error}. Upload it again."
        )
        return
    run(job, path)


def claim(job: Import) -> bool:
    """Make this process the one that runs the import; False when another does, or it has ended."""
    now = timezone.now()
    free = Q(status="queued") | Q(status="running", heartbeat__lt=now - SILENT)
    claimed = Import.objects.filter(free, pk=job.pk).update(status="running", started=now, heartbeat=now)
    job.refresh_from_db()
    return bool(claimed)


def run(job: Import, path: Path, progress: Progress | None = None) -> None:
    """Import the file, from where a lost worker left it if one did."""
    if not claim(job):
        return
    problems = Problems(job)
    status, message = "succeeded", ""
    try:
        with uncollected():
            land_strictly(job, path, problems, progress) if job.strict else land_all(job, path, problems, progress)
    except Stopped:
        job.refresh_from_db()
        problems.close()
        return
    except BadFile as error:
        status, message = "failed", kept(job, str(error))
    except OSError as error:
        status, message = "failed", kept(job, disk_trouble(error))
    finish(job, problems, status, message)


@contextmanager
def uncollected() -> Iterator[None]:
    """No search for reference cycles: millions of rows come and go without one, and it costs a tenth of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def land_strictly(job: Import, path: Path, problems: Problems, progress: Progress | None) -> None:
    """Check every row, then land all of them in one transaction; other pages see nothing of it before its end."""
    job.bad, job.problems, job.rows = 0, [], 0
    for rows, _, bad, done in batches(job, path, skip=0):
        problems.add(bad)
        job.rows = rows
        beat(job, done // 2)
        if progress:
            progress(job)
    refuse_bad(job)
    if job.rows > SQLITE_ROWS and connection.vendor == "sqlite":
        raise BadFile(f"A strict import on SQLite takes at most {SQLITE_ROWS:,} rows; this has {job.rows:,}.")
    job.rows = 0
    beat(job, job.total // 2, ahead=STRICT_LANDING)
    try:
        with transaction.atomic():
            land_all(job, path, problems, progress)
            refuse_bad(job)
            beat(job, job.total)
    except BaseException:
        job.added = job.known = 0
        raise


def refuse_bad(job: Import) -> None:
    if job.bad:
        raise BadFile(f"Nothing was imported: {job.bad:,} rows are bad, and a strict import takes all or none.")


def kept(job: Import, reason: str) -> str:
    return f"{reason} What was read before it is kept: {job.added:,} added." if job.added else reason


def disk_trouble(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "The disk is full. Make room and start the import again; it adds only what is missing."
    return f"The file cannot be read: {error}."


def finish(job: Import, problems: Problems, status: str, message: str) -> None:
    problems.close()
    job.finished = timezone.now()
    mine = Import.objects.filter(pk=job.pk, status="running", started=job.started)
    counts = {"rows": job.rows, "added": job.added, "known": job.known, "bad": job.bad, "problems": job.problems}
    done = job.total if status == "succeeded" else job.done
    mine.update(status=status, message=message, finished=job.finished, done=done, **counts)
    job.refresh_from_db()


def land_all(job: Import, path: Path, problems: Problems, progress: Progress | None) -> None:
    for rows, batch, bad, done in ahead(batches(job, path, skip=job.rows)):
        before = job.rows, job.added, job.known, job.bad
        try:
            with transaction.atomic():
                problems.add(bad)
                landed = landed_batch(job, batch)
                problems.add(landed.problems)
                job.rows, job.added, job.known = rows, job.added + landed.added, job.known + landed.known
                job.done = done
                if not job.strict:  # that one says nothing before all has landed
                    beat(job, done)
        except Exception:
            job.rows, job.added, job.known, job.bad = before
            raise
        problems.flush()
        if progress:
            progress(job)


def landed_batch(job: Import, batch: list) -> Landed:
    return land_traces(job.project, batch, source=job.name) if job.project.kind == "steps" else land(job.project, batch)


def beat(job: Import, done: int, ahead: timedelta = timedelta()) -> None:
    """Write how far the import is, unless it is no longer ours; `ahead` of a stretch without a beat."""
    job.done, job.heartbeat = done, timezone.now() + ahead
    mine = Import.objects.filter(pk=job.pk, status="running", started=job.started)
    names = ("done", "total", "rows", "added", "known", "bad", "problems", "heartbeat")
    if not mine.update(**{name: getattr(job, name) for name in names}):
        raise Stopped


class Batch(NamedTuple):
    rows: int  # read so far, from the file's beginning
    prompts: list[Prepared] | list[PreparedTrace]
    bad: list[tuple[int, str]]
    done: int  # bytes read so far


def batches(job: Import, path: Path, skip: int) -> Iterator[Batch]:
    """The file from row `skip` on, a batch at a time; what stands before the place where it breaks off comes first."""
    source = Source(path, job.mapping.get("format", ""))
    job.total = source.total
    batch, bad, characters, number, broken = [], [], 0, 0, None
    try:
        for number, (line, value) in enumerate(source, 1):
            if number <= skip:
                continue
            try:
                found = prepared(line, value, job.mapping)
            except BadRow as error:
                bad.append((line, str(error)))
            else:
                batch += found
                characters += sum(p.size for p in found)
            if max(len(batch), len(bad)) >= BATCH_ROWS or characters > BATCH_CHARACTERS:
                yield Batch(number, batch, bad, source.done)
                batch, bad, characters = [], [], 0
    except (BadFile, OSError) as error:
        broken = error
    yield Batch(number, batch, bad, source.done if broken else source.total)
    if broken:
        raise broken


def prepared(line: int, value: Any, mapping: dict[str, Any]) -> list[Prepared] | list[PreparedTrace]:
    if isinstance(value, BadRow):
        raise value
    ready: Callable[[int, Item], Any] = prepare_trace if SHAPES[mapping["shape"]].kind == "steps" else prepare
    return [ready(line, item) for item in items(value, mapping)]
