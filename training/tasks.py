"""What workers do for training: an id in, one call out."""

from celery import shared_task

from training import completing, fetching, jobs, preflights, reward_trials, search_evaluating, searching
from training.labeling import runs as labeling
from training.models import (
    CompletionRun,
    ModelVersion,
    Preflight,
    RewardTrial,
    SearchEvaluation,
    SearchRun,
    StepLabelRun,
    TrainingJob,
)


@shared_task
def train(job_id: int) -> None:
    jobs.run_job(TrainingJob.objects.get(pk=job_id))


@shared_task
def fetch_model(model_id: int) -> None:
    fetching.fetch_model(ModelVersion.objects.get(pk=model_id))


@shared_task
def complete(run_id: int) -> None:
    completing.run_completions(CompletionRun.objects.get(pk=run_id))


@shared_task
def preflight(check_id: int) -> None:
    preflights.run(Preflight.objects.get(pk=check_id))


@shared_task
def search(run_id: int) -> None:
    searching.run_search(SearchRun.objects.select_related("policy", "scorer").get(pk=run_id))


@shared_task
def evaluate_search(evaluation_id: int) -> None:
    search_evaluating.run_evaluation(SearchEvaluation.objects.select_related("policy", "scorer").get(pk=evaluation_id))


@shared_task
def label_steps(run_id: int) -> None:
    labeling.run_labeling(StepLabelRun.objects.get(pk=run_id))


@shared_task
def try_rewards(trial_id: int) -> None:
    reward_trials.run(RewardTrial.objects.get(pk=trial_id))
