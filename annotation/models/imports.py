"""Files on their way into a project."""

from django.db import models

from annotation.models.projects import Project


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
