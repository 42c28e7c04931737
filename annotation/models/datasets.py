"""What is frozen of what people said."""

from django.db import models
from django.urls import reverse

from annotation.models.projects import Project

SHAPES = {
    "pairs": "Preference pairs (prompt, chosen, rejected)",
    "stepwise": "Stepwise rows (prompt, completions, labels)",
    "outcome": "Outcome rows (prompt, completion, label)",
    "prompts": "Prompts to answer (prompt, reference)",
}


def shapes() -> list[tuple[str, str]]:
    return list(SHAPES.items())


class DatasetQuerySet(models.QuerySet):
    def visible_to(self, user):
        if user.is_superuser:
            return self
        return self.filter(project__memberships__user=user, project__memberships__role__in=["manager", "reviewer"])


class Dataset(models.Model):
    """Frozen rows with a fingerprint; never changed after it is ready."""

    STATUS = [(s, s.title()) for s in ("freezing", "ready", "failed")]
    project = models.ForeignKey(Project, models.PROTECT, related_name="datasets")
    slug = models.SlugField(unique=True, max_length=100)
    name = models.CharField(max_length=120)
    shape = models.CharField(max_length=20, choices=shapes, default="pairs")
    options = models.JSONField(default=dict)  # margin, eval_share, seed, labels until
    status = models.CharField(max_length=10, choices=STATUS, default="freezing")
    message = models.TextField(blank=True)
    fingerprint = models.CharField(max_length=64, blank=True, db_index=True)
    rows_train = models.IntegerField(default=0)
    rows_eval = models.IntegerField(default=0)
    ranking_count = models.IntegerField(default=0)
    done = models.IntegerField(default=0)
    total = models.IntegerField(default=0)
    report = models.JSONField(default=dict)  # lengths, longer side chosen, duplicates, contradictions, labelers
    created_by = models.ForeignKey("studio.User", models.SET_NULL, null=True)
    created = models.DateTimeField(auto_now_add=True)

    objects = DatasetQuerySet.as_manager()

    class Meta:
        ordering = ["-created"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("dataset", args=[self.slug])

    @property
    def folder(self) -> str:
        """Key of its folder in the artifact store: train.jsonl, eval.jsonl and the same as Parquet."""
        return f"datasets/{self.slug}"

    @property
    def labels_then(self) -> int:
        """Labels the project had when it was frozen, those it leaves out included."""
        return self.report.get("labels", self.ranking_count)
