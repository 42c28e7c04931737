"""Queue a training: studio train dpo --dataset D --model M [--set beta=0.2] [--preset small] [--wait]."""

import time

from django.core.management.base import CommandError

from studio.commands import Verb, acting_user, dataset_named, model_named
from training.jobs import launch
from training.models import TrainingJob
from training.recipes import RECIPES, recipe
from training.recipes.config import describe, from_text


class Command(Verb):
    help = __doc__

    def arguments(self, parser) -> None:
        parser.add_argument("recipe", choices=list(RECIPES))
        parser.add_argument("--dataset", required=True)
        parser.add_argument("--model", required=True)
        parser.add_argument("--preset", default="small", help="smoke, small or full")
        parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="one setting")
        parser.add_argument("--name", default="")
        parser.add_argument("--executor", default="local", help="local, or accelerate:N for N processes")
        parser.add_argument("--queue", help="the trainers' queue it waits in (default: STUDIO_TRAIN_QUEUE)")
        parser.add_argument("--wait", action="store_true", help="follow it to its end")

    def handle(self, recipe: str, dataset: str, model: str, user: str | None, **options) -> None:
        try:
            settings = settings_of(recipe, options["preset"], options["set"])
            base, rows = model_named(model), dataset_named(dataset)
            fields = {"name": options["name"], "executor": options["executor"], "queue": options["queue"]}
            job = launch(acting_user(user), rows, recipe, base, settings, **fields)
        except ValueError as error:
            raise CommandError(str(error)) from error
        if options["wait"]:
            self.follow(job)
        self.emit({"id": job.pk, "status": job.status}, f"Job {job.pk} ({job.name}) is {job.status}.")
        if job.status in ("failed", "cancelled"):
            raise SystemExit(1)

    def follow(self, job: TrainingJob) -> None:
        said = -1
        while not job.ended:
            time.sleep(1)
            job.refresh_from_db()
            if job.step != said:
                said = job.step
                self.say(f"  step {job.step} of {job.total}, loss {job.latest.get('loss')}")
        if job.error:
            self.say(f"  {job.error['message']} {job.error['advice']}")


def settings_of(name: str, preset: str, pairs: list[str]) -> dict:
    """The preset with NAME=VALUE pairs over it, each read as its field's type. Raises ValueError."""
    module = recipe(name)
    if preset not in module.PRESETS:
        raise ValueError(f"There is no preset {preset!r}; choose one of {', '.join(module.PRESETS)}.")
    if wrong := [pair for pair in pairs if "=" not in pair]:
        raise ValueError(f"--set takes NAME=VALUE, not {wrong[0]!r}.")
    fields = {field["name"]: field for field in describe(module.Config)}
    given = dict(pair.split("=", 1) for pair in pairs)
    if unknown := given.keys() - fields.keys():
        raise ValueError(f"{', '.join(sorted(unknown))}: not a setting of {name}.")
    return module.PRESETS[preset] | {key: from_text(fields[key], text) for key, text in given.items()}
