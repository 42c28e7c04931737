"""What workers do for training: an id in, one call out."""

from celery import shared_task

from training import completing, jobs, registry
from training import reconcile as reconciling
from training.models import CompletionRun, ModelVersion, TrainingJob


@shared_task
def train(job_id: int) -> None:
    jobs.run_job(TrainingJob.objects.get(pk=job_id))


@shared_task
def fetch_model(model_id: int) -> None:
    registry.fetch_model(ModelVersion.objects.get(pk=model_id))


@shared_task
def complete(run_id: int) -> None:
    completing.run_completions(CompletionRun.objects.get(pk=run_id))


@shared_task
def reconcile() -> None:
    reconciling.reconcile({"default"})
