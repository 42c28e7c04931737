"""Comparisons: one conversation put to several models, with the answer of each."""

from django.db import models
from django.urls import reverse

from annotation.models import Completion, Project, Ranking
from training.models.searches import SearchRun, Strategy
from training.models.versions import ModelVersion


class ComparisonQuerySet(models.QuerySet):
    def visible_to(self, user):
        return self if user.is_superuser else self.filter(created_by=user)


class Comparison(models.Model):
    """One conversation put to two to four model versions at once."""

    created_by = models.ForeignKey("studio.User", models.CASCADE, related_name="comparisons")
    project = models.ForeignKey(Project, models.SET_NULL, null=True, related_name="comparisons")  # where a vote goes
    messages = models.JSONField(default=list)  # the shared chat up to the answers
    blind = models.BooleanField(default=True)
    sampling = models.JSONField(default=dict)
    scorer = models.ForeignKey(ModelVersion, models.SET_NULL, null=True, related_name="+")
    ranking = models.OneToOneField(Ranking, models.SET_NULL, null=True, related_name="comparison")  # the vote
    created = models.DateTimeField(auto_now_add=True)

    objects = ComparisonQuerySet.as_manager()

    class Meta:
        ordering = ["-created"]

    def get_absolute_url(self) -> str:
        return reverse("comparison", args=[self.pk])

    @property
    def message(self) -> str:
        """The last message: what lists show."""
        return self.messages[-1]["content"] if self.messages else ""


class Answer(models.Model):
    """What one model said in a comparison; `column` is its place on the page."""

    comparison = models.ForeignKey(Comparison, models.CASCADE, related_name="answers")
    column = models.PositiveSmallIntegerField()
    model = models.ForeignKey(ModelVersion, models.PROTECT, related_name="answers")
    strategy = models.ForeignKey(Strategy, models.SET_NULL, null=True, related_name="answers")  # null: the model alone
    search = models.ForeignKey(SearchRun, models.SET_NULL, null=True, related_name="answers")  # how it was found
    text = models.TextField(blank=True)
    tokens = models.IntegerField(null=True)
    seconds = models.FloatField(null=True)
    finish_reason = models.CharField(max_length=20, blank=True)
    error = models.TextField(blank=True)
    score = models.FloatField(null=True)
    completion = models.OneToOneField(Completion, models.SET_NULL, null=True, related_name="answer")

    class Meta:
        ordering = ["column"]
        constraints = [models.UniqueConstraint(fields=["comparison", "column"], name="column_once")]

    @property
    def author(self) -> str:
        """Who answers, in words: the strategy, else the model."""
        return str(self.strategy or self.model)
