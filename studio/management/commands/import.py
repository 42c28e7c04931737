"""Import a file or folder into a project: studio import PROJECT FILE [--map prompt=question] [--strict]."""

from pathlib import Path

from django.core.management.base import CommandError

from annotation.importing.cells import BadFile
from annotation.importing.ingest import import_path
from annotation.importing.shapes import SHAPES
from annotation.models import SPLITS, Import
from annotation.steps.marks import SCALES
from studio.commands import Verb, acting_user, project_named

HELP = (
    f"which column is what, or shape={'|'.join(SHAPES)}, or rule={'|'.join(SPLITS)} (where solutions are cut), "
    f"or scale={'|'.join(SCALES)} (what labels mean); completions and solution may be named several times"
)


class Command(Verb):
    help = __doc__

    def arguments(self, parser) -> None:
        parser.add_argument("project")
        parser.add_argument("path", type=Path)
        parser.add_argument("--map", action="append", default=[], metavar="FIELD=COLUMN", help=HELP)
        parser.add_argument("--strict", action="store_true", help="land every row or none")

    def handle(self, project: str, path: Path, map: list[str], strict: bool, user: str | None, **options) -> None:
        if not path.exists():
            raise CommandError(f"There is no {path}.")
        try:
            job = import_path(project_named(project), path, columns(map), strict, self.progress, acting_user(user))
        except BadFile as error:
            raise CommandError(f"{path}: {error}") from error
        for problem in job.problems[:20]:
            self.say(f"  {problem}")
        counts = f"{job.rows} rows, {job.added} added, {job.known} known before, {job.bad} bad"
        report = {n: getattr(job, n) for n in ("id", "status", "rows", "added", "known", "bad", "problems", "message")}
        self.emit(report, f"{job.status}: {counts}. {job.message}".strip())
        if job.status != "succeeded":
            raise SystemExit(1)

    def progress(self, job: Import) -> None:
        share = f"{100 * job.done / job.total:.0f} %" if job.total else ""
        self.say(f"  {share:>5}  {job.rows} rows, {job.bad} bad")


def columns(pairs: list[str]) -> dict[str, str | list[str]]:
    """Field → column, or → columns where a field is named again."""
    found: dict[str, list[str]] = {}
    for pair in pairs:
        field, equals, column = pair.partition("=")
        if not equals:
            raise CommandError(f"--map takes FIELD=COLUMN, not {pair!r}.")
        found.setdefault(field, []).append(column)
    return {field: names if len(names) > 1 else names[0] for field, names in found.items()}
