"""Label steps by machine: studio label PROJECT monte-carlo|verifier|model|consensus [--model M] [--wait]."""

import time

from django.core.management.base import CommandError

from studio.commands import Verb, acting_user, model_named, project_named
from training.labeling import runs
from training.labeling.estimates import estimated
from training.labeling.kinds import KINDS, BadLabeling, kind
from training.models import StepLabelRun


class Command(Verb):
    help = __doc__

    def arguments(self, parser) -> None:
        parser.add_argument("project")
        parser.add_argument("kind", choices=list(KINDS))
        parser.add_argument("--model", help="who completes, or judges")
        parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="one setting")
        parser.add_argument("--source", action="append", default=[], help="for consensus: a source, as kind:name")
        parser.add_argument("--name", default="", help="of the source (default: the model's or verifier's)")
        parser.add_argument("--which", default="all", choices=list(runs.WHICH))
        parser.add_argument("--most", type=int, help="traces, at most")
        parser.add_argument("--again", default="", choices=list(filter(None, runs.AGAIN)), help="if it has labels")
        parser.add_argument("--estimate", action="store_true", help="only say what it would cost")
        parser.add_argument("--wait", action="store_true", help="do it here unless a worker does; stay to the end")

    def handle(self, project: str, kind: str, user: str | None, **options) -> None:
        given = settings_of(kind, options["set"]) | ({"sources": options["source"]} if options["source"] else {})
        model = model_named(options["model"]) if options["model"] else None
        asked = (project_named(project), kind, model, given, acting_user(user))
        more = {name: options[name] for name in ("name", "which", "most", "again")}
        try:
            if options["estimate"]:
                return self.say_estimate(runs.prepared(*asked, **more))
            run = runs.queue_run(*asked, **more)
        except BadLabeling as error:
            raise CommandError(str(error)) from error
        if options["wait"]:
            runs.run_labeling(run)
            self.follow(run)
        self.emit(described(run), sentence(run))
        if run.status in ("failed", "cancelled"):
            raise SystemExit(1)

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


def described(run: StepLabelRun) -> dict:
    kept = ("labeled", "steps", "good", "bad", "left_out", "unsaid", "cost", "seconds")
    report = {name: run.report[name] for name in kept if name in run.report}
    known = {"id": run.pk, "source": run.name, "status": run.status, "done": run.done, "total": run.total}
    return known | {"message": run.message, "report": report}


def sentence(run: StepLabelRun) -> str:
    said = f"Run {run.pk} ({run.name}) is {run.status}: {run.done:,} of {run.total:,} traces."
    if "steps" in run.report:
        said += f" {run.report['good']:,} good and {run.report['bad']:,} bad steps."
    return f"{said} {run.message}".strip()
