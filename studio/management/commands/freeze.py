"""Freeze a project's labels into a dataset: studio freeze PROJECT NAME [--shape outcome] [--sources people,import]."""

from django.core.management.base import CommandError

from annotation.freezing.freeze import ROWS, NotFrozen, freeze
from annotation.steps.freezing import OUTCOMES
from annotation.steps.values import LABELS, NEUTRAL, POLICIES
from studio.commands import Verb, acting_user, project_named

OPTIONAL = ("margin", "sources", "labels", "policy", "neutral", "outcome")


class Command(Verb):
    help = __doc__

    def arguments(self, parser) -> None:
        parser.add_argument("project")
        parser.add_argument("name")
        parser.add_argument("--eval-share", type=float, default=0.1, help="share of prompts held out")
        parser.add_argument("--seed", type=int, default=42, help="which prompts are held out")
        parser.add_argument("--margin", action="store_true", help="pairs: add how far apart the two sides were ranked")
        parser.add_argument(
            "--shape", choices=ROWS, default="", help="pairs; of traces stepwise or outcome; or prompts, to answer"
        )
        parser.add_argument(
            "--sources",
            type=names,
            help="of traces: whose labels count, first those of the first; people, import, monte-carlo:NAME, …",
        )
        parser.add_argument("--labels", choices=LABELS, help="of steps: hard, or soft where sources give scores")
        parser.add_argument("--policy", choices=POLICIES, help="of steps: all, or up to the first_error")
        parser.add_argument("--neutral", choices=NEUTRAL, help="of steps: neutral counts as good or is left out")
        parser.add_argument(
            "--outcome", choices=OUTCOMES, help="of outcomes: right by the final answer or by the steps"
        )

        parser.add_argument("--referenced", action="store_true", help="of prompts: only those with a reference")

    def handle(self, project: str, name: str, user: str | None, shape: str, **options) -> None:
        chosen = {key: options[key] for key in ("eval_share", "seed")}
        chosen |= {key: options[key] for key in OPTIONAL if options[key]}
        chosen |= {"unreferenced": False} if options["referenced"] else {}
        try:
            made = freeze(project_named(project), name, chosen, acting_user(user), background=False, shape=shape)
        except NotFrozen as error:
            raise CommandError(str(error)) from error
        facts = {key: getattr(made, key) for key in ("slug", "status", "fingerprint", "rows_train", "rows_eval")}
        again = "was frozen before: " if made.again else ""
        counts = f"{made.rows_train} rows to train on, {made.rows_eval} held out"
        self.emit(facts, f"{again}{made.slug}: {counts}, sha256 {made.fingerprint[:12]}…")


def names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
