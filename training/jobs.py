"""Launch a training, see its place in the queue, cancel it, resume it."""

from dataclasses import asdict
from typing import Any

from django.apps import apps
from django.conf import settings as studio
from django.db import transaction
from django.utils import timezone

from annotation.models import Dataset
from training import executors, recipes, wake
from training.models import ModelVersion, TrainingJob
from training.recipes.config import BadConfig, read
from training.reward_models import rewarding
from training.trainer import RUNNING, run_job, stop_children

__all__ = ["BadJob", "cancel", "launch", "queue_place", "queues", "resume", "run_job", "stop_children", "why_waiting"]
DEVICES = ("auto", "cpu", "cuda")
RESUMABLE = ("stopped", "failed", "cancelled")


class BadJob(ValueError):
    """What cannot be launched, resumed or cancelled; the message says why and what to do."""


def launch(
    user, dataset: Dataset, recipe: str, base_model: ModelVersion, settings: dict[str, Any] | None = None,
    name: str = "", executor: str = "local", queue: str | None = None, device: str = "auto",
) -> TrainingJob:  # fmt: skip
    """Queue a training. Settings not given take the recipe's defaults. Raises BadJob or BadConfig with every reason."""
    resolved = resolve(recipe, settings or {})
    check(dataset, recipe, base_model, executor, device)
    try:
        rewarding(resolved, dataset.project)
    except ValueError as error:
        raise BadJob(str(error)) from None
    if queue and queue not in queues():
        raise BadJob(f"No trainer listens to a queue {queue!r}; choose one of {', '.join(queues())}.")
    with transaction.atomic():
        job = TrainingJob.objects.create(
            name=(name.strip() or f"{base_model.name}-{recipe}")[:120], project=dataset.project, dataset=dataset,
            recipe=recipe, base_model=base_model, settings=resolved, executor=executor,
            queue=queue or studio.TRAIN_QUEUE, device=device, created_by=user,
        )  # fmt: skip
        wake.job_on_commit(job)
    return job


def resolve(recipe: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Every setting of the recipe with its value. Raises BadConfig for what no training can start from."""
    if recipe not in recipes.RECIPES:
        raise BadJob(f"There is no recipe {recipe!r}; choose one of {', '.join(recipes.RECIPES)}.")
    module = recipes.recipe(recipe)
    config = read(module.Config, settings)
    if problems := module.problems(config):
        raise BadConfig("; ".join(problems))
    return asdict(config)


def check(dataset: Dataset, recipe: str, base_model: ModelVersion, executor: str, device: str) -> None:
    try:
        executors.parse(executor)
    except ValueError as error:
        raise BadJob(str(error)) from None
    if device not in DEVICES:
        raise BadJob(f"There is no device {device!r}; choose one of {', '.join(DEVICES)}.")
    if dataset.status != "ready":
        raise BadJob(f"{dataset} is {dataset.status}; only a ready dataset can be trained on.")
    if not dataset.rows_train:
        raise BadJob(f"{dataset} has no training rows; collect more rankings and freeze again.")
    if dataset.shape not in recipes.shapes_for(recipe):
        fitting = ", ".join(name for name in recipes.RECIPES if dataset.shape in recipes.shapes_for(name))
        raise BadJob(f"{recipe} cannot read {dataset}: its rows are {dataset.shape}. They are for {fitting or 'none'}.")
    if base_model.endpoint:
        raise BadJob(f"{base_model} is an endpoint: we do not hold its weights, so it cannot be trained.")
    if base_model.makes not in recipes.bases_for(recipe):
        kind = base_model.get_makes_display().lower()
        raise BadJob(f"{base_model} makes no answers but is of the kind {kind}; start {recipe} from a policy.")
    if base_model.status != "ready":
        raise BadJob(f"{base_model} is {base_model.status}; choose a model that is ready.")


def queues() -> dict[str, str]:
    """Where a training can wait, the default first: the queues trainers listen to, each with the device that takes
    from it, '' where none does just now."""
    beats = apps.get_model("studio", "WorkerBeat")  # by name: training imports nothing of the studio
    listening, found = beats.listening(), {studio.TRAIN_QUEUE: ""}
    for beat in beats.objects.exclude(queue="default").order_by("queue", "seen"):
        found[beat.queue] = (beat.device or "a trainer listens") if beat.queue in listening else ""
    return found


def queue_place(job: TrainingJob) -> int | None:
    """1 for the job that starts next in its queue; None when it waits no longer."""
    if job.status != "queued":
        return None
    return TrainingJob.objects.filter(queue=job.queue, status="queued", pk__lt=job.pk).count() + 1


def why_waiting(job: TrainingJob) -> str:
    """One sentence for a queued job that does not start; '' when nothing is in its way but the jobs before it."""
    if job.status == "queued" and job.sent is None:
        return "The message broker does not answer. The job is kept and starts when it does."
    return ""


def cancel(job: TrainingJob, how: str = "stop") -> None:
    """Ask a job to end: "stop" is now, keeping no more than checkpoints; "save" lets it save its model first."""
    if how not in ("stop", "save"):
        raise BadJob(f"Cancel with 'stop' or 'save', not {how!r}.")
    row = TrainingJob.objects.filter(pk=job.pk)
    ended = row.filter(status="queued").update(status="cancelled", finished=timezone.now(), cancel="")
    if not ended:
        running = row.filter(status__in=RUNNING)
        running = running if how == "stop" else running.exclude(cancel="stop")  # stopping now is not taken back
        running.update(status="stopping", cancel=how)
    job.refresh_from_db()


def resume(job: TrainingJob) -> None:
    """Queue an ended job again; it goes on from its newest checkpoint, or from the start where there is none."""
    fresh = {"cancel": "", "attempts": 0, "error": None, "result": None, "finished": None, "sent": None, "seen": False}
    with transaction.atomic():
        if not TrainingJob.objects.filter(pk=job.pk, status__in=RESUMABLE).update(status="queued", **fresh):
            raise BadJob(f"{job} is {job.status}; only a stopped, cancelled or failed job can be resumed.")
        wake.job_on_commit(job)
    job.refresh_from_db()
