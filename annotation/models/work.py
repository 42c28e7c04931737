"""A labeler at work: what she holds, what she has begun, what she passed on, how much she gave."""

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone

from annotation.models.projects import Project
from annotation.models.prompts import Prompt


class Lease(models.Model):
    """A prompt reserved for one labeler until it expires; it holds one of the prompt's slots."""

    prompt = models.ForeignKey(Prompt, models.CASCADE, related_name="leases", db_index=False)
    labeler = models.ForeignKey("studio.User", models.CASCADE, related_name="leases")
    key = models.UUIDField(default=uuid.uuid4)  # idempotency key of the submit to come
    shown = models.JSONField(default=list)  # completion ids in the order this labeler sees them
    created = models.DateTimeField(default=timezone.now)
    expires = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["prompt", "labeler"], name="lease_once")]


class Draft(models.Model):
    """A label in the making; outlives its lease, so nothing typed is ever lost."""

    prompt = models.ForeignKey(Prompt, models.CASCADE, related_name="drafts", db_index=False)
    labeler = models.ForeignKey("studio.User", models.CASCADE, related_name="drafts")
    data = models.JSONField(default=dict)
    updated = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["prompt", "labeler"], name="draft_once")]


class Skip(models.Model):
    """A labeler passed on a prompt, and why; she is not shown it again."""

    REASONS = [
        ("too_hard", "Too hard for me"),
        ("language", "Not a language I read"),
        ("broken", "Broken or unreadable"),
        ("sensitive", "I would rather not read this"),
        ("other", "Other"),
    ]
    prompt = models.ForeignKey(Prompt, models.CASCADE, related_name="skips", db_index=False)
    labeler = models.ForeignKey("studio.User", models.CASCADE, related_name="skips")
    reason = models.CharField(max_length=20, choices=REASONS)
    comment = models.TextField(blank=True)
    created = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["prompt", "labeler"], name="skip_once")]


class Tally(models.Model):
    """Labels one labeler gave one project on one day: counts without counting, and without a row all fight for."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="tallies", db_index=False)
    labeler = models.ForeignKey("studio.User", models.CASCADE, null=True, related_name="tallies")
    day = models.DateField()
    labels = models.IntegerField(default=0)
    votes = models.IntegerField(default=0)  # those of the labels that nobody had asked for: they came from comparisons
    skips = models.IntegerField(default=0)
    seconds = models.FloatField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "labeler", "day"], name="tally_once"),
            models.UniqueConstraint(fields=["project", "day"], condition=Q(labeler=None), name="tally_imported_once"),
        ]
