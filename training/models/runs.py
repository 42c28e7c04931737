"""Work in the background beside trainings: completions, labels of steps, trials of rewards."""

from django.db import models
from django.utils import timezone

from annotation.models import Completion, Dataset, Project
from training.models.versions import ModelVersion


class BackgroundRun(models.Model):
    """Work a worker does beside trainings: how far it is, when it will be done, how it ended."""

    STATUS = [(s, s.title()) for s in ("queued", "running", "succeeded", "failed", "cancelled")]
    status = models.CharField(max_length=10, choices=STATUS, default="queued")
    cancel = models.BooleanField(default=False)
    done = models.IntegerField(default=0)  # in the unit each kind of run counts in
    total = models.IntegerField(default=0)
    message = models.TextField(blank=True)
    created_by = models.ForeignKey("studio.User", models.SET_NULL, null=True)
    created = models.DateTimeField(auto_now_add=True)
    started = models.DateTimeField(null=True)
    heartbeat = models.DateTimeField(null=True)
    finished = models.DateTimeField(null=True)

    class Meta:
        abstract = True
        ordering = ["-created"]

    @property
    def ended(self) -> bool:
        return self.status in ("succeeded", "failed", "cancelled")

    @property
    def eta(self) -> float | None:
        """Seconds left, by the pace so far."""
        if not self.done or not self.started:
            return None
        return (timezone.now() - self.started).total_seconds() / self.done * (self.total - self.done)


class OwnRows(models.QuerySet):
    """Rows that belong to who made them."""

    def visible_to(self, user):
        return self if user.is_superuser else self.filter(created_by=user)


class CompletionRun(BackgroundRun):
    """Has a model answer a project's prompts that lack completions; counts prompts."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="completion_runs")
    model = models.ForeignKey(ModelVersion, models.PROTECT)
    per_prompt = models.PositiveSmallIntegerField(default=4)
    sampling = models.JSONField(default=dict)  # temperature, top_p, max_tokens, seed, system


class Generation(models.Model):
    """Which model wrote a completion, and how it was sampled."""

    completion = models.OneToOneField(Completion, models.CASCADE, related_name="generation")
    model = models.ForeignKey(ModelVersion, models.PROTECT, related_name="generations")
    run = models.ForeignKey(CompletionRun, models.SET_NULL, null=True, related_name="generations")
    sampling = models.JSONField(default=dict)


class StepLabelRun(BackgroundRun):
    """Labels the steps of a project's traces without people; counts traces. Its labels are StepLabels of `kind` and
    `source`."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="step_label_runs")
    kind = models.CharField(max_length=12)  # monte-carlo, verifier, model, consensus
    source = models.CharField(max_length=120)
    model = models.ForeignKey(ModelVersion, models.PROTECT, null=True)  # who completes, or judges
    settings = models.JSONField(default=dict)
    report = models.JSONField(default=dict)  # what it cost, what it could not label and why

    @property
    def name(self) -> str:
        """The source as pages and settings name it."""
        return f"{self.kind}:{self.source}"


class RewardTrial(BackgroundRun):
    """Rewards tried on one completion, or on a sample of a dataset."""

    rewards = models.TextField()  # the weighted list
    items = models.JSONField(default=list)  # {"prompt", "completion", "row"}; empty: what the dataset's project has
    dataset = models.ForeignKey(Dataset, models.CASCADE, null=True, related_name="+")
    result = models.JSONField(null=True)  # training.reward_report's

    objects = OwnRows.as_manager()
