"""Label steps by machine: studio label PROJECT monte-carlo|verifier|model|consensus; without a kind, list its runs."""

import time

from django.core.management.base import CommandError
from django.db.models import CharField
from django.db.models.functions import Cast

from studio.commands import Verb, acting_user, model_named, one_of, project_named
from training.labeling import runs
from training.labeling.estimates import estimated
from training.labeling.kinds import KINDS, BadLabeling, kind
from training.models import StepLabelRun


class Command(Verb):
    help = __doc__

    def arguments(self, parser) -> None:
        parser.add_argument("project")
        parser.add_argument("kind", nargs="?", choices=list(KINDS))
        action = parser.add_mutually_exclusive_group()
        action.add_argument("--show", metavar="ID", help="a run of the project")
        action.add_argument("--cancel", metavar="ID", help="stop it; what is labeled stays")
        parser.add_argument("--model", help="who completes, or judges")
        parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="one setting")
        parser.add_argument("--source", action="append", default=[], help="for consensus: a source, as kind:name")
        parser.add_argument("--name", default="", help="of the source (default: the model's or verifier's)")
        parser.add_argument("--which", default="all", choices=list(runs.WHICH))
        parser.add_argument("--most", type=int, help="traces, at most")
        parser.add_argument("--again", default="", choices=list(filter(None, runs.AGAIN)), help="if it has labels")
        parser.add_argument("--estimate", action="store_true", help="only say what it would cost")
        parser.add_argument("--wait", action="store_true", help="do it here unless a worker does; stay to the end")

    def handle(self, project: str, kind: str | None, **options) -> None:
        found = project_named(project)
        if pk := options["show"] or options["cancel"]:
            return self.act(run_numbered(found, pk), options)
        if kind is None:
            made = list(found.step_label_runs.select_related("model"))
            return self.emit(list(map(runs.told, made)), "\n".join(map(sentence, made)) or "No run of labels yet.")
        self.start(found, kind, options)

    def act(self, run: StepLabelRun, options: dict) -> None:
        if options["cancel"]:
            runs.cancel(run)
        self.end(run, options["wait"])

    def start(self, project, kind: str, options: dict) -> None:
        given = settings_of(kind, options["set"]) | ({"sources": options["source"]} if options["source"] else {})
        model = model_named(options["model"]) if options["model"] else None
        asked = (project, kind, model, given, acting_user(options["user"]))
        more = {name: options[name] for name in ("name", "which", "most", "again")}
        try:
            if options["estimate"]:
                return self.say_estimate(runs.prepared(*asked, **more))
            run = runs.queue_run(*asked, **more)
        except BadLabeling as error:
            raise CommandError(str(error)) from error
        self.end(run, options["wait"])
        if run.status in ("failed", "cancelled"):
            raise SystemExit(1)

    def end(self, run: StepLabelRun, wait: bool) -> None:
        """Say how it is; in the end, if somebody waits for that."""
        if wait:
            runs.run_labeling(run)
            self.follow(run)
        run.refresh_from_db()
        self.emit(runs.told(run), sentence(run))

    def say_estimate(self, run: StepLabelRun) -> None:
        found = vars(estimated(run))
        self.emit(found, ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in found.items() if count))

    def follow(self, run: StepLabelRun) -> None:
        run.refresh_from_db()
        while not run.ended:
            time.sleep(1)
            run.refresh_from_db()
            self.say(f"  {run.done} of {run.total} traces")


def settings_of(name: str, pairs: list[str]) -> dict:
    if wrong := [pair for pair in pairs if "=" not in pair]:
        raise CommandError(f"--set takes NAME=VALUE, not {wrong[0]!r}. {name} has {', '.join(kind(name).SETTINGS)}.")
    return dict(pair.split("=", 1) for pair in pairs)


def run_numbered(project, pk: str) -> StepLabelRun:
    rows = project.step_label_runs.annotate(number=Cast("pk", CharField()))
    return one_of(rows, "number", pk, "run of labels")


def sentence(run: StepLabelRun) -> str:
    said = f"Run {run.pk} ({run.name}) is {run.status}: {run.done:,} of {run.total:,} traces."
    if "steps" in run.report:
        said += f" {run.report['good']:,} good and {run.report['bad']:,} bad steps."
    return f"{said} {run.message}".strip()
