"""Write a project as JSON lines that can be imported again: studio export PROJECT [FILE]."""

import os
from pathlib import Path

from django.core.management.base import CommandError

from annotation.export import export_lines
from annotation.models import Project
from studio.commands import Verb, project_named


class Command(Verb):
    help = __doc__

    def arguments(self, parser) -> None:
        parser.add_argument("project")
        parser.add_argument("path", type=Path, nargs="?", help="PROJECT.jsonl here when not given")

    def handle(self, project: str, path: Path | None, **options) -> None:
        found = project_named(project)
        path = path or Path(f"{found.slug}.jsonl")
        try:
            prompts = write(found, path)
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}. What was there is untouched.") from error
        self.emit({"path": str(path), "prompts": prompts}, f"Wrote {prompts} prompts to {path}.")


def write(project: Project, path: Path) -> int:
    """The whole file or none of it; how many prompts it holds."""
    partial, prompts = path.with_name(f".{path.name}-{os.getpid()}"), 0
    try:
        with partial.open("w", encoding="utf-8") as file:
            for lines in export_lines(project):
                file.writelines(lines)
                prompts += len(lines)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return prompts
