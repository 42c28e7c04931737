"""Trainings: the job, what was looked at before its launch, and what it writes while it runs."""

from datetime import timedelta

from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from annotation.models import Dataset, Project
from training.models.versions import ModelVersion

HEARTBEAT = timedelta(seconds=20)  # a running job silent for longer has lost its worker


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
