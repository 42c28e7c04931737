"""Model versions, training jobs with their metrics and samples, completions made by models, comparisons."""

from datetime import timedelta

from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from annotation.models import Completion, Dataset, Project, Ranking

MAKES = {
    "policy": "Policy",
    "reward_model": "Reward model",
    "process_reward_model": "Process reward model",
    "outcome_reward_model": "Outcome reward model",
}
STEP_SCORERS = ("process_reward_model", "outcome_reward_model")
SCORERS = ("reward_model", "outcome_reward_model")  # they score a whole answer
HEARTBEAT = timedelta(seconds=20)  # a running job silent for longer has lost its worker


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


class JobQuerySet(models.QuerySet):
    def visible_to(self, user):
        if user.is_superuser:
            return self
        return self.filter(project__memberships__user=user, project__memberships__role__in=["manager", "reviewer"])

    def unfinished(self):
        return self.filter(status__in=["queued", "running", "stopping"])


class TrainingJob(models.Model):
    """One training: a recipe, its settings, its run directory, and how it goes."""

    STATUS = [(s, s.title()) for s in ("queued", "running", "stopping", "succeeded", "stopped", "cancelled", "failed")]
    name = models.CharField(max_length=120)
    project = models.ForeignKey(Project, models.PROTECT, related_name="jobs")
    dataset = models.ForeignKey(Dataset, models.PROTECT, related_name="jobs")
    recipe = models.CharField(max_length=40)
    base_model = models.ForeignKey(ModelVersion, models.PROTECT, related_name="jobs")
    settings = models.JSONField(default=dict)  # every resolved value of the recipe's Config
    executor = models.CharField(max_length=20, default="local")
    queue = models.CharField(max_length=40, default="train")
    device = models.CharField(max_length=20, default="auto")
    status = models.CharField(max_length=10, choices=STATUS, default="queued", db_index=True)
    cancel = models.CharField(max_length=4, blank=True)  # "", "stop" (now) or "save"
    attempts = models.PositiveSmallIntegerField(default=0)
    worker = models.CharField(max_length=200, blank=True)
    host = models.CharField(max_length=200, blank=True)
    pid = models.IntegerField(null=True)
    pid_started = models.FloatField(null=True)  # the process's creation time: a pid alone may be reused
    step = models.IntegerField(default=0)
    total = models.IntegerField(default=0)
    eta = models.FloatField(null=True)  # seconds
    latest = models.JSONField(default=dict)  # last value of every metric
    alarms = models.JSONField(default=list)  # {kind, step, message, advice}
    error = models.JSONField(null=True)  # {class, message, advice}
    result = models.JSONField(null=True)
    preflight = models.JSONField(null=True)
    log = models.TextField(blank=True)  # the last 64 KiB
    created_by = models.ForeignKey("studio.User", models.SET_NULL, null=True)
    created = models.DateTimeField(auto_now_add=True)
    sent = models.DateTimeField(null=True)  # when its last message went to the broker
    started = models.DateTimeField(null=True)
    heartbeat = models.DateTimeField(null=True)
    finished = models.DateTimeField(null=True)
    seen = models.BooleanField(default=False)  # its owner has looked at how it ended
    model = models.OneToOneField(ModelVersion, models.SET_NULL, null=True, related_name="job")

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-created"]
        constraints = [  # the database itself refuses a second training on one device
            models.UniqueConstraint(
                fields=["host"],
                condition=Q(status__in=["running", "stopping"]) & ~Q(host=""),
                name="one_job_a_place",
            )
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("job", args=[self.pk])

    @property
    def ended(self) -> bool:
        return self.status in ("succeeded", "stopped", "cancelled", "failed")

    @property
    def lost(self) -> bool:
        return not self.ended and self.heartbeat is not None and timezone.now() - self.heartbeat > HEARTBEAT

    @property
    def run_dir(self) -> str:
        """Key of its run directory in the artifact store."""
        return f"runs/{self.pk}"


class Metric(models.Model):
    """One line of metrics.jsonl."""

    job = models.ForeignKey(TrainingJob, models.CASCADE, related_name="metrics")
    line = models.IntegerField()  # its number in the file: following it twice adds nothing
    step = models.IntegerField()
    time = models.FloatField()
    values = models.JSONField()

    class Meta:
        ordering = ["line"]
        constraints = [models.UniqueConstraint(fields=["job", "line"], name="metric_once")]


class Sample(models.Model):
    """One line of samples.jsonl: a completion of the model in training."""

    job = models.ForeignKey(TrainingJob, models.CASCADE, related_name="samples")
    line = models.IntegerField()
    step = models.IntegerField()
    prompt = models.JSONField()
    completion = models.TextField()
    reward = models.FloatField(null=True)
    parts = models.JSONField(default=dict)

    class Meta:
        ordering = ["line"]
        constraints = [models.UniqueConstraint(fields=["job", "line"], name="sample_once")]


class RolloutGroup(models.Model):
    """One line of rollouts.jsonl: a prompt of a step, and all completions that were drawn for it and rewarded."""

    job = models.ForeignKey(TrainingJob, models.CASCADE, related_name="rollouts")
    line = models.IntegerField()
    step = models.IntegerField()
    place = models.IntegerField()  # among the step's prompts
    low = models.JSONField(default=dict)  # of every number of its completions the lowest, and
    high = models.JSONField(default=dict)  # the highest (training.rollouts)
    prompt = models.JSONField()
    reference = models.TextField(blank=True)
    completions = models.JSONField(default=list)  # {reward, parts, why, advantage, kl, tokens, ended, mark} of each
    text = models.TextField()  # what prompt and completions say, to be searched

    class Meta:
        ordering = ["line"]
        constraints = [models.UniqueConstraint(fields=["job", "step", "place"], name="rollouts_once")]
        indexes = [models.Index(fields=["job", "line"], name="rollouts_by_line")]

    @property
    def texts(self) -> list[str]:
        """What its completions say."""
        return self.text.split("\x1e")[1:]


class Curves(models.Model):
    """A job's metrics up to `line`, thinned to what a screen shows (training.curves)."""

    job = models.OneToOneField(TrainingJob, models.CASCADE, primary_key=True, related_name="curves")
    line = models.IntegerField(default=-1)
    data = models.JSONField(default=dict)


class Preflight(models.Model):
    """What a recipe would make of a dataset with these settings, looked at before launch."""

    STATUS = [(s, s.title()) for s in ("queued", "running", "ready", "failed")]
    name = models.CharField(max_length=120, blank=True)  # of the job to be
    dataset = models.ForeignKey(Dataset, models.CASCADE, related_name="preflights")
    recipe = models.CharField(max_length=40)
    base_model = models.ForeignKey(ModelVersion, models.CASCADE, related_name="preflights")
    settings = models.JSONField(default=dict)
    executor = models.CharField(max_length=20, default="local")
    queue = models.CharField(max_length=40, default="train")
    device = models.CharField(max_length=20, default="auto")
    status = models.CharField(max_length=10, choices=STATUS, default="queued")
    report = models.JSONField(null=True)  # preflight.json
    message = models.TextField(blank=True)  # why it failed
    created_by = models.ForeignKey("studio.User", models.CASCADE)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created"]

    @property
    def ended(self) -> bool:
        return self.status in ("ready", "failed")

    @property
    def folder(self) -> str:
        """Key of its directory in the artifact store."""
        return f"preflights/{self.pk}"


class BackgroundRun(models.Model):
    """Work a worker does beside trainings: how far it is, when it will be done, how it ended."""

    STATUS = [(s, s.title()) for s in ("queued", "running", "succeeded", "failed", "cancelled")]
    status = models.CharField(max_length=10, choices=STATUS, default="queued")
    cancel = models.BooleanField(default=False)
    done = models.IntegerField(default=0)  # in the unit each kind of run counts in
    total = models.IntegerField(default=0)
    message = models.TextField(blank=True)
    created_by = models.ForeignKey("studio.User", models.SET_NULL, null=True)
    created = models.DateTimeField(auto_now_add=True)
    started = models.DateTimeField(null=True)
    heartbeat = models.DateTimeField(null=True)
    finished = models.DateTimeField(null=True)

    class Meta:
        abstract = True
        ordering = ["-created"]

    @property
    def ended(self) -> bool:
        return self.status in ("succeeded", "failed", "cancelled")

    @property
    def eta(self) -> float | None:
        """Seconds left, by the pace so far."""
        if not self.done or not self.started:
            return None
        return (timezone.now() - self.started).total_seconds() / self.done * (self.total - self.done)


class CompletionRun(BackgroundRun):
    """Has a model answer a project's prompts that lack completions; counts prompts."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="completion_runs")
    model = models.ForeignKey(ModelVersion, models.PROTECT)
    per_prompt = models.PositiveSmallIntegerField(default=4)
    sampling = models.JSONField(default=dict)  # temperature, top_p, max_tokens, seed, system


class StepLabelRun(BackgroundRun):
    """Labels the steps of a project's traces without people; counts traces. Its labels are StepLabels of `kind` and
    `source`."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="step_label_runs")
    kind = models.CharField(max_length=12)  # monte-carlo, verifier, model, consensus
    source = models.CharField(max_length=120)
    model = models.ForeignKey(ModelVersion, models.PROTECT, null=True)  # who completes, or judges
    settings = models.JSONField(default=dict)
    report = models.JSONField(default=dict)  # what it cost, what it could not label and why

    @property
    def name(self) -> str:
        """The source as pages and settings name it."""
        return f"{self.kind}:{self.source}"


class OwnRows(models.QuerySet):
    """Rows that belong to who made them."""

    def visible_to(self, user):
        return self if user.is_superuser else self.filter(created_by=user)


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


class RewardTrial(BackgroundRun):
    """Rewards tried on one completion, or on a sample of a dataset."""

    rewards = models.TextField()  # the weighted list
    items = models.JSONField(default=list)  # {"prompt", "completion", "row"}; empty: what the dataset's project has
    dataset = models.ForeignKey(Dataset, models.CASCADE, null=True, related_name="+")
    result = models.JSONField(null=True)  # training.reward_report's

    objects = OwnRows.as_manager()


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


class Generation(models.Model):
    """Which model wrote a completion, and how it was sampled."""

    completion = models.OneToOneField(Completion, models.CASCADE, related_name="generation")
    model = models.ForeignKey(ModelVersion, models.PROTECT, related_name="generations")
    run = models.ForeignKey(CompletionRun, models.SET_NULL, null=True, related_name="generations")
    sampling = models.JSONField(default=dict)


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
