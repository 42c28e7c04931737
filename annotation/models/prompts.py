"""Prompts and their completions; in projects of kind `steps` problems, traces and other texts of a step."""

import hashlib
import json

from django.db import models
from django.db.models import F, Q
from django.urls import reverse
from django.utils import timezone

from annotation.models.projects import Criterion, Project


def fingerprint(value: object) -> str:
    """sha256 of a value's canonical JSON: equal content, equal fingerprint."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


class PromptQuerySet(models.QuerySet):
    def visible_to(self, user):
        return self if user.is_superuser else self.filter(project__memberships__user=user)


class Prompt(models.Model):
    """A chat to be answered. Its three counters hold: open_slots + leases + labels_given = wanted (or more given).

    In a project of kind `steps` it is a problem with one completion, the trace whose steps are marked; another solution
    of the same problem is another prompt.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="prompts", db_index=False)  # prompt_by_id leads
    criterion = models.ForeignKey(Criterion, models.SET_NULL, null=True, blank=True)
    messages = models.JSONField(help_text='[{"role": "user", "content": "…"}, …]')
    text = models.TextField(help_text="the last user message: what tables show and search reads")
    reference = models.TextField(blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    origin = models.CharField(max_length=20, default="import")  # import, comparison, demo, api
    fingerprint = models.CharField(max_length=64)  # of a trace: of its messages and steps
    # In projects of kind `steps`: the fingerprint of the messages alone, shared by all solutions of one problem.
    problem = models.CharField(max_length=64, blank=True, default="", db_default="")
    labels_wanted = models.PositiveSmallIntegerField(default=1)
    labels_given = models.PositiveSmallIntegerField(default=0)
    open_slots = models.PositiveSmallIntegerField(default=0)  # 0 too while a prompt waits for completions
    created = models.DateTimeField(default=timezone.now)

    objects = PromptQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "fingerprint"], name="prompt_once"),
            # The database itself refuses the label after the last one wanted.
            models.CheckConstraint(condition=Q(labels_given__lte=F("labels_wanted")), name="labels_within_wanted"),
            models.CheckConstraint(
                condition=Q(labels_wanted__gte=F("labels_given") + F("open_slots")), name="slots_within_wanted"
            ),
        ]
        indexes = [
            models.Index(fields=["project", "id"], name="prompt_by_id"),
            models.Index(fields=["project", "id"], condition=Q(open_slots__gt=0), name="prompt_queue"),
            models.Index(
                fields=["project", "labels_given", "open_slots"],
                condition=Q(open_slots=0, labels_given=0),
                name="prompt_waiting",
            ),
            models.Index(fields=["project", "labels_given", "id"], name="prompt_by_labels"),
            models.Index(fields=["project", "criterion", "id"], name="prompt_by_criterion"),
            models.Index(fields=["project", "problem"], condition=~Q(problem=""), name="prompt_by_problem"),
        ]

    def __str__(self) -> str:
        return self.text[:80]

    def get_absolute_url(self) -> str:
        return reverse("prompt", args=[self.project.slug, self.pk])


class Completion(models.Model):
    """One answer to a prompt; identical answers of one prompt are one row."""

    prompt = models.ForeignKey(Prompt, models.CASCADE, related_name="completions", db_index=False)
    text = models.TextField()
    source = models.CharField(max_length=200, blank=True, help_text="who wrote it: a model's name, a person, a file")
    metadata = models.JSONField(default=dict, blank=True)
    steps = models.JSONField(null=True, blank=True)  # of a trace: its steps, texts in order; None elsewhere
    fingerprint = models.CharField(max_length=64)

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["prompt", "fingerprint"], name="completion_once")]

    def __str__(self) -> str:
        return self.text[:80]


class Alternative(models.Model):
    """Another text for one step of a trace, sampled from a model; a labeler may choose it as the better step."""

    completion = models.ForeignKey(Completion, models.CASCADE, related_name="alternatives")
    step = models.PositiveSmallIntegerField()  # from 0
    text = models.TextField()
    source = models.CharField(max_length=200, blank=True)  # who wrote it: a model's name, a file

    class Meta:
        ordering = ["step", "pk"]
