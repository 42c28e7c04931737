"""Projects, prompts, completions, rankings, leases and datasets: everything people say, and what is frozen from it."""

import hashlib
import json
import uuid

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Length
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.text import slugify

KINDS = {
    "ranking": "Ranking: order several completions",
    "steps": "Steps: mark each step of a solution",
}
SHAPES = {
    "pairs": "Preference pairs (prompt, chosen, rejected)",
    "stepwise": "Stepwise rows (prompt, completions, labels)",
    "outcome": "Outcome rows (prompt, completion, label)",
    "prompts": "Prompts to answer (prompt, reference)",
}
SPLITS = {
    "blank_line": "at blank lines",
    "line": "at every line",
    "step_n": "before “Step 1:”, “Step 2:”, …",
    "sentence": "after every sentence",
}

models.TextField.register_lookup(Length)


# Foreign keys say db_index=False where a constraint of theirs leads with the same column: one index is enough.


def kinds() -> list[tuple[str, str]]:
    return list(KINDS.items())


def shapes() -> list[tuple[str, str]]:
    return list(SHAPES.items())


def splits() -> list[tuple[str, str]]:
    return list(SPLITS.items())


def fingerprint(value: object) -> str:
    """sha256 of a value's canonical JSON: equal content, equal fingerprint."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


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
        labels = StepLabels if self.kind == "steps" else Ranking
        return labels.objects.filter(prompt__project=self).exists()

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


class Import(models.Model):
    """One file on its way into a project: progress while it runs, its report afterwards."""

    STATUS = [(s, s.title()) for s in ("queued", "running", "succeeded", "failed", "cancelled")]
    project = models.ForeignKey(Project, models.CASCADE, related_name="imports")
    created_by = models.ForeignKey("studio.User", models.SET_NULL, null=True)
    name = models.CharField(max_length=255)  # the file's own name
    file = models.CharField(max_length=400)  # key in the artifact store
    mapping = models.JSONField(default=dict)  # field → column
    strict = models.BooleanField(default=False)
    status = models.CharField(max_length=10, choices=STATUS, default="queued")
    done = models.BigIntegerField(default=0)  # bytes (rows, where a format knows them)
    total = models.BigIntegerField(default=0)
    rows = models.IntegerField(default=0)
    added = models.IntegerField(default=0)
    known = models.IntegerField(default=0)
    bad = models.IntegerField(default=0)
    problems = models.JSONField(default=list)  # the first few {row, reason}; all of them in file + ".problems.jsonl"
    message = models.TextField(blank=True)
    created = models.DateTimeField(auto_now_add=True)
    started = models.DateTimeField(null=True)
    heartbeat = models.DateTimeField(null=True)
    finished = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created"]

    @property
    def ended(self) -> bool:
        return self.status in ("succeeded", "failed", "cancelled")


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
