"""Model versions, training jobs with their metrics and samples, completions made by models, comparisons."""

from training.models.comparisons import Answer, Comparison, ComparisonQuerySet
from training.models.jobs import HEARTBEAT, Curves, JobQuerySet, Metric, Preflight, RolloutGroup, Sample, TrainingJob
from training.models.runs import BackgroundRun, CompletionRun, Generation, OwnRows, RewardTrial, StepLabelRun
from training.models.searches import SearchEvaluation, SearchRun, Strategy
from training.models.versions import MAKES, SCORERS, STEP_SCORERS, ModelQuerySet, ModelVersion, makes, of_my_projects

__all__ = [
    "Answer", "BackgroundRun", "Comparison", "ComparisonQuerySet", "CompletionRun", "Curves", "Generation",
    "HEARTBEAT", "JobQuerySet", "MAKES", "Metric", "ModelQuerySet", "ModelVersion", "OwnRows", "Preflight",
    "RewardTrial", "RolloutGroup", "SCORERS", "STEP_SCORERS", "Sample", "SearchEvaluation", "SearchRun",
    "StepLabelRun", "Strategy", "TrainingJob", "makes", "of_my_projects",
]  # fmt: skip
