"""List trainings; --show, --cancel, --save or --resume one by its number."""

from django.core.management.base import CommandError

from studio.commands import Verb, job_numbered
from training import jobs
from training.models import TrainingJob

FIELDS = ("id", "name", "recipe", "status", "step", "total", "eta", "latest", "alarms", "error", "result")


class Command(Verb):
    help = __doc__

    def arguments(self, parser) -> None:
        action = parser.add_mutually_exclusive_group()
        action.add_argument("--show", metavar="ID")
        action.add_argument("--cancel", metavar="ID", help="stop now")
        action.add_argument("--save", metavar="ID", help="stop, and keep the model so far")
        action.add_argument("--resume", metavar="ID", help="go on from the newest checkpoint")

    def handle(self, **options) -> None:
        for action in ("show", "cancel", "save", "resume"):
            if pk := options[action]:
                return self.act(job_numbered(pk), action)
        rows = [{name: getattr(job, name) for name in FIELDS} for job in TrainingJob.objects.all()[:100]]
        line = "{id:>5}  {status:<10} {recipe:<14} {step}/{total}  {name}"
        lines = [line.format(**row) for row in rows]
        self.emit(rows, "\n".join(lines) or "No training yet.")

    def act(self, job: TrainingJob, action: str) -> None:
        try:
            if action in ("cancel", "save"):
                jobs.cancel(job, "stop" if action == "cancel" else "save")
            elif action == "resume":
                jobs.resume(job)
        except jobs.BadJob as error:
            raise CommandError(str(error)) from error
        facts = {name: getattr(job, name) for name in FIELDS}
        self.emit(facts, "\n".join(f"{name:<8} {value}" for name, value in facts.items()))
