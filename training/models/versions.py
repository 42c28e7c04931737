"""Model versions: weights we keep, endpoints we may ask, and who sees which."""

from django.db import models
from django.db.models import Q
from django.urls import reverse

from annotation.models import Project

MAKES = {
    "policy": "Policy",
    "reward_model": "Reward model",
    "process_reward_model": "Process reward model",
    "outcome_reward_model": "Outcome reward model",
}
STEP_SCORERS = ("process_reward_model", "outcome_reward_model")
SCORERS = ("reward_model", "outcome_reward_model")  # they score a whole answer


def makes() -> list[tuple[str, str]]:
    return list(MAKES.items())


def of_my_projects(user, path: str = "project") -> Q:
    """Rows without a project, and those of projects the user belongs to."""
    return Q() if user.is_superuser else Q(**{path: None}) | Q(**{f"{path}__memberships__user": user})


class ModelQuerySet(models.QuerySet):
    def visible_to(self, user):
        return self.filter(of_my_projects(user)).distinct()

    def usable(self):
        return self.filter(status="ready")


class ModelVersion(models.Model):
    """Weights we keep, or an endpoint we may ask. `name` is the family, `version` counts within it."""

    STATUS = [(s, s.title()) for s in ("fetching", "copying", "ready", "failed")]
    name = models.CharField(max_length=100)
    version = models.PositiveIntegerField(default=1)
    slug = models.SlugField(unique=True, max_length=120)  # name-vN: its id in the API and its folder models/<slug>
    makes = models.CharField(max_length=20, choices=makes, default="policy")
    project = models.ForeignKey(Project, models.PROTECT, null=True, blank=True, related_name="models")
    base = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="children")
    source = models.CharField(max_length=400, blank=True)  # hub id or folder it was registered from
    endpoint = models.URLField(max_length=400, blank=True)  # OpenAI-compatible base URL, when not served by us
    endpoint_model = models.CharField(max_length=200, blank=True)
    endpoint_key_env = models.CharField(max_length=80, blank=True, help_text="environment variable holding the key")
    status = models.CharField(max_length=10, choices=STATUS, default="ready")
    message = models.TextField(blank=True)
    sha256 = models.CharField(max_length=64, blank=True)  # of the weights
    parameters = models.BigIntegerField(null=True)
    bytes = models.BigIntegerField(null=True)
    metrics = models.JSONField(default=dict)
    notes = models.TextField(blank=True)
    created_by = models.ForeignKey("studio.User", models.SET_NULL, null=True)
    created = models.DateTimeField(auto_now_add=True)

    objects = ModelQuerySet.as_manager()

    class Meta:
        ordering = ["-created"]
        constraints = [models.UniqueConstraint(fields=["name", "version"], name="version_once")]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"

    def get_absolute_url(self) -> str:
        return reverse("model", args=[self.slug])

    @property
    def folder(self) -> str:
        """Key of its folder in the artifact store."""
        return f"models/{self.slug}"

    @property
    def coming(self) -> bool:
        """Its weights are on their way here."""
        return self.status in ("fetching", "copying")

    @property
    def scores_steps(self) -> bool:
        """It reads traces, step by step."""
        return self.makes in STEP_SCORERS

    @property
    def from_folder(self) -> bool:
        return self.source.startswith("/")
