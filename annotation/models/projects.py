"""Projects, what their prompts are judged by, and who is a member in which role."""

from django.db import models
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.text import slugify

KINDS = {
    "ranking": "Ranking: order several completions",
    "steps": "Steps: mark each step of a solution",
}
SPLITS = {
    "blank_line": "at blank lines",
    "line": "at every line",
    "step_n": "before “Step 1:”, “Step 2:”, …",
    "sentence": "after every sentence",
}


def kinds() -> list[tuple[str, str]]:
    return list(KINDS.items())


def splits() -> list[tuple[str, str]]:
    return list(SPLITS.items())


class ProjectQuerySet(models.QuerySet):
    def visible_to(self, user):
        """Projects the user is a member of; everything for a superuser."""
        return self if user.is_superuser else self.filter(memberships__user=user)

    def run_by(self, user):
        """Projects whose labels the user answers for."""
        return self if user.is_superuser else self.filter(memberships__user=user, memberships__role="manager")


class Project(models.Model):
    """One labeling effort: what is asked, of whom, how often."""

    slug = models.SlugField(unique=True, max_length=80)
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=20, choices=kinds, default="ranking")
    description = models.TextField(blank=True)
    guidelines = models.TextField(blank=True, help_text="Markdown; labelers open it with g")
    labels_wanted = models.PositiveSmallIntegerField(default=1, help_text="Labels a prompt gets, from different people")
    allow_ties = models.BooleanField(default=True)
    blind = models.BooleanField(default=True, help_text="Hide which model wrote a completion, and shuffle")
    ask_ratings = models.BooleanField(default=False, help_text="Also ask a 1–7 rating for each completion")
    stop_at_first_bad = models.BooleanField(
        default=False, help_text="A trace is done at its first bad step; what comes after it is not asked"
    )
    split_rule = models.CharField(
        max_length=20, choices=splits, default="blank_line", help_text="Where a whole solution is cut into steps"
    )
    proposals = models.JSONField(default=list, blank=True)  # sources whose labels the step page proposes
    prompt_count = models.PositiveIntegerField(default=0)
    created = models.DateTimeField(auto_now_add=True)

    objects = ProjectQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def save(self, *args, **kwargs) -> None:
        self.slug = self.slug or self.free_slug()
        super().save(*args, **kwargs)

    def get_absolute_url(self) -> str:
        return reverse("project", args=[self.slug])

    @property
    def label_url(self) -> str:
        """The page on which its prompts are labeled."""
        return reverse("steps" if self.kind == "steps" else "rank", args=[self.slug])

    @cached_property
    def has_labels(self) -> bool:
        """Whether anything has been said here that could be frozen."""
        labels = "step_labels" if self.kind == "steps" else "rankings"
        return self.prompts.filter(**{f"{labels}__isnull": False}).exists()

    def free_slug(self) -> str:
        stem = slugify(self.name)[:70] or "project"
        taken = {"new", *Project.objects.filter(slug__startswith=stem).values_list("slug", flat=True)}
        return next(s for n in range(1, len(taken) + 2) if (s := stem if n == 1 else f"{stem}-{n}") not in taken)

    def role_of(self, user) -> str | None:
        """`manager`, `reviewer`, `labeler`, or None for an outsider; a superuser manages everything."""
        if user.is_superuser:
            return "manager"
        return self.memberships.filter(user=user).values_list("role", flat=True).first()


class Criterion(models.Model):
    """What a prompt of this project is judged by (helpful, honest, …)."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="criteria", db_index=False)
    name = models.CharField(max_length=80)
    description = models.TextField(blank=True)

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="criterion_once")]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A person's role on a project, and where she is in its queue."""

    ROLES = [("manager", "Manager"), ("reviewer", "Reviewer"), ("labeler", "Labeler")]
    project = models.ForeignKey(Project, models.CASCADE, related_name="memberships", db_index=False)
    user = models.ForeignKey("studio.User", models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=ROLES, default="labeler")
    cursor = models.BigIntegerField(default=0, editable=False)  # last prompt served; the next search starts here

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "user"], name="member_once")]

    def __str__(self) -> str:
        return f"{self.user} ({self.role})"
