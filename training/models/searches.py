"""Searches at test time: of one problem, of several by several strategies, and strategies that are kept."""

from django.db import models
from django.urls import reverse

from annotation.models import Project
from training.models.runs import BackgroundRun, OwnRows
from training.models.versions import ModelVersion


class SearchRun(BackgroundRun):
    """One problem searched with a policy and a scorer; counts tokens of its budget, else solutions or levels."""

    messages = models.JSONField()
    reference = models.TextField(blank=True)
    policy = models.ForeignKey(ModelVersion, models.PROTECT, related_name="+")
    scorer = models.ForeignKey(ModelVersion, models.PROTECT, null=True, related_name="+")
    strategy = models.CharField(max_length=40)
    settings = models.JSONField(default=dict)
    result = models.JSONField(null=True)  # the tree, the answer chosen and why, tokens spent

    objects = OwnRows.as_manager()

    def get_absolute_url(self) -> str:
        return reverse("search_run", args=[self.pk])

    @property
    def problem(self) -> str:
        """The last message: what lists show."""
        return self.messages[-1]["content"] if self.messages else ""


class SearchEvaluation(BackgroundRun):
    """Several problems with references, searched by several strategies at several N; counts problems."""

    name = models.CharField(max_length=120)
    project = models.ForeignKey(Project, models.SET_NULL, null=True, related_name="+")  # where the problems are from
    problems = models.JSONField()  # a list of {"messages", "reference"}
    policy = models.ForeignKey(ModelVersion, models.PROTECT, related_name="+")
    scorer = models.ForeignKey(ModelVersion, models.PROTECT, null=True, related_name="+")
    strategies = models.JSONField()  # names
    ns = models.JSONField()
    settings = models.JSONField(default=dict)
    outcomes = models.JSONField(default=list)  # what each problem done so far gave
    points = models.JSONField(null=True)  # of the curves

    objects = OwnRows.as_manager()

    def get_absolute_url(self) -> str:
        return reverse("search_evaluation", args=[self.pk])


class Strategy(models.Model):
    """A way to search that can be asked on the comparison page as if it were a model."""

    name = models.CharField(max_length=200)
    policy = models.ForeignKey(ModelVersion, models.PROTECT, related_name="+")
    scorer = models.ForeignKey(ModelVersion, models.PROTECT, null=True, related_name="+")
    strategy = models.CharField(max_length=40)
    settings = models.JSONField(default=dict)
    created_by = models.ForeignKey("studio.User", models.CASCADE, related_name="strategies")
    created = models.DateTimeField(auto_now_add=True)

    objects = OwnRows.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["created_by", "name"], name="strategy_once")]

    def __str__(self) -> str:
        return self.name
