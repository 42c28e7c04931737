"""Write a project as JSON lines that can be imported again: studio export PROJECT [FILE] [--format prm800k]."""

import os
from pathlib import Path

from django.core.management.base import CommandError

from annotation.export import export_lines
from annotation.models import Project
from annotation.steps.exporting import FORMATS, format_lines
from studio.commands import Verb, project_named


class Command(Verb):
    help = __doc__

    def arguments(self, parser) -> None:
        parser.add_argument("project")
        parser.add_argument("path", type=Path, nargs="?", help="PROJECT.jsonl here when not given")
        parser.add_argument(
            "--format", choices=FORMATS, help="of traces: a line for each source's labels, as published"
        )

    def handle(self, project: str, path: Path | None, format: str | None, **options) -> None:
        found = project_named(project)
        if format and found.kind != "steps":
            raise CommandError(f"{found.slug} holds no traces: --format is for projects of kind steps.")
        path = path or Path(f"{found.slug}.jsonl")
        try:
            count = write(found, path, format)
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}. What was there is untouched.") from error
        what = "lines" if format else "prompts"
        self.emit({"path": str(path), what: count}, f"Wrote {count} {what} to {path}.")


def write(project: Project, path: Path, format: str | None = None) -> int:
    """The whole file or none of it; how many lines it holds."""
    partial, prompts = path.with_name(f".{path.name}-{os.getpid()}"), 0
    try:
        with partial.open("w", encoding="utf-8") as file:
            for lines in format_lines(project, format) if format else export_lines(project):
                file.writelines(lines)
                prompts += len(lines)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return prompts
