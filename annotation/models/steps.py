"""What a person or a machine says of each step of a trace."""

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone

from annotation.models.prompts import Prompt


class StepLabelsQuerySet(models.QuerySet):
    def visible_to(self, user):
        return self if user.is_superuser else self.filter(prompt__project__memberships__user=user)

    def by_people(self):
        return self.filter(kind__in=StepLabels.PEOPLE)


class StepLabels(models.Model):
    """What one source, a person or a machine, says of each step of a prompt's trace; each source is kept apart.

    The lists run along the trace's steps and may end before it does: what is missing at the end was not said.
    """

    KINDS = [
        ("page", "A labeler, on the page"),
        ("api", "A labeler, through the API"),
        ("import", "An imported file"),
        ("monte-carlo", "Monte-Carlo estimate"),
        ("verifier", "A verifier of steps"),
        ("model", "A model"),
        ("consensus", "Consensus of sources"),
    ]
    PEOPLE = ("page", "api")
    BAD_PROBLEM = [
        ("ambiguous", "The problem is ambiguous"),
        ("broken", "Broken or incomplete text"),
        ("reference", "The reference answer is wrong"),
        ("other", "Other"),
    ]
    GAVE_UP = [
        ("too_hard", "Too hard for me"),
        ("too_long", "Would take too long"),
        ("unclear", "I cannot follow the solution"),
        ("other", "Other"),
    ]
    prompt = models.ForeignKey(Prompt, models.CASCADE, related_name="step_labels", db_index=False)
    labeler = models.ForeignKey("studio.User", models.PROTECT, null=True, related_name="step_labels")
    kind = models.CharField(max_length=12, choices=KINDS, default="page")
    source = models.CharField(max_length=120, blank=True)  # which machine or file; "" for our labelers
    key = models.UUIDField(unique=True, default=uuid.uuid4)
    ratings = models.JSONField(default=list)  # −1, 0, 1, or null: not marked (which is not neutral)
    scores = models.JSONField(null=True)  # probability that a step is good, 0 to 1, or null a step
    errors = models.JSONField(null=True)  # standard error of each score
    notes = models.JSONField(default=dict)  # step → why the source says so, for people to read
    proposed = models.JSONField(default=dict)  # source of the proposals shown → step → accepted, corrected
    rewrites = models.JSONField(default=dict)  # step → {"text", "source"}: the better step written or chosen
    alternatives = models.JSONField(default=dict)  # step → [{"text", "rating"}]: other texts of it the source rated
    flagged = models.JSONField(default=list)  # steps the labeler was unsure of
    gave_up = models.CharField(max_length=12, choices=GAVE_UP, blank=True)
    bad_problem = models.CharField(max_length=12, choices=BAD_PROBLEM, blank=True)
    seconds = models.FloatField(default=0)
    words = models.PositiveIntegerField(default=0)  # of the steps a labeler marked: what there was to read
    comment = models.TextField(blank=True)
    created = models.DateTimeField(default=timezone.now)

    objects = StepLabelsQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["prompt", "labeler"], name="step_labels_once"),
            models.UniqueConstraint(
                fields=["prompt", "kind", "source"], condition=Q(labeler=None), name="step_source_once"
            ),
        ]
        indexes = [models.Index(fields=["labeler", "-created"], name="step_labels_by_labeler")]

    def get_absolute_url(self) -> str:
        return f"{self.prompt.get_absolute_url()}#labels-{self.pk}"

    @property
    def name(self) -> str:
        """The source as pages and settings name it: `monte-carlo:starter-v1`, or a labeler's name."""
        return self.labeler.username if self.labeler_id else f"{self.kind}:{self.source}"
