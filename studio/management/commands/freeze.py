"""Freeze a project's rankings into a dataset: studio freeze PROJECT NAME [--eval-share 0.1] [--margin]."""

from django.core.management.base import CommandError

from annotation.freeze import NotFrozen, freeze
from studio.commands import Verb, acting_user, project_named


class Command(Verb):
    help = __doc__

    def arguments(self, parser) -> None:
        parser.add_argument("project")
        parser.add_argument("name")
        parser.add_argument("--eval-share", type=float, default=0.1, help="share of prompts held out")
        parser.add_argument("--seed", type=int, default=42, help="which prompts are held out")
        parser.add_argument("--margin", action="store_true", help="add how far apart the two sides were ranked")

    def handle(self, project: str, name: str, user: str | None, **options) -> None:
        chosen = {key: options[key] for key in ("eval_share", "seed", "margin")}
        try:
            made = freeze(project_named(project), name, chosen, acting_user(user), background=False)
        except NotFrozen as error:
            raise CommandError(str(error)) from error
        facts = {key: getattr(made, key) for key in ("slug", "status", "fingerprint", "rows_train", "rows_eval")}
        again = "was frozen before: " if made.again else ""
        counts = f"{made.rows_train} rows to train on, {made.rows_eval} held out"
        self.emit(facts, f"{again}{made.slug}: {counts}, sha256 {made.fingerprint[:12]}…")
