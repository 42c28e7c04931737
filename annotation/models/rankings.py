"""What a labeler says of a prompt's completions: their order."""

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone

from annotation.models.prompts import Completion, Prompt


class RankingQuerySet(models.QuerySet):
    def visible_to(self, user):
        return self if user.is_superuser else self.filter(prompt__project__memberships__user=user)


class Ranking(models.Model):
    """One labeler's order of a prompt's completions."""

    prompt = models.ForeignKey(Prompt, models.CASCADE, related_name="rankings", db_index=False)
    labeler = models.ForeignKey(
        "studio.User", models.PROTECT, null=True, related_name="rankings"
    )  # null: arrived ranked in an imported file
    source = models.CharField(max_length=20, default="page")  # page, api, import, comparison, demo
    key = models.UUIDField(unique=True, default=uuid.uuid4)
    seconds = models.FloatField(default=0)
    comment = models.TextField(blank=True)
    all_bad = models.BooleanField(default=False)
    unsure = models.BooleanField(default=False)
    bad_prompt = models.BooleanField(default=False)
    created = models.DateTimeField(default=timezone.now)

    objects = RankingQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["prompt", "labeler"], name="ranking_once")]
        indexes = [models.Index(fields=["labeler", "-created"], name="ranking_by_labeler")]

    def get_absolute_url(self) -> str:
        return f"{self.prompt.get_absolute_url()}#ranking-{self.pk}"


class RankedCompletion(models.Model):
    """A completion's place in one ranking; 1 is best, equal ranks are a tie."""

    ranking = models.ForeignKey(Ranking, models.CASCADE, related_name="ranked", db_index=False)
    completion = models.ForeignKey(Completion, models.PROTECT, related_name="ranked")
    rank = models.PositiveSmallIntegerField()
    rating = models.PositiveSmallIntegerField(null=True, blank=True)
    shown = models.PositiveSmallIntegerField(help_text="its place on the page, from 1; apart from its rank")

    class Meta:
        ordering = ["rank", "shown"]
        constraints = [
            models.UniqueConstraint(fields=["ranking", "completion"], name="ranked_once"),
            models.CheckConstraint(condition=Q(rank__gte=1), name="rank_from_one"),
            models.CheckConstraint(condition=Q(rating=None) | Q(rating__range=(1, 7)), name="rating_one_to_seven"),
        ]
