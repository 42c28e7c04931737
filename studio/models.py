"""People, their API tokens, and which workers are listening."""

import hashlib
import secrets
from datetime import timedelta

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils import timezone


class User(AbstractUser):
    """An account. Roles are per project (annotation.Membership); a superuser sees everything."""

    about = models.TextField(blank=True, help_text="Who or what stands behind this account")

    def __str__(self) -> str:
        return self.get_full_name() or self.username


class ApiToken(models.Model):
    """A bearer token; only its hash is kept, the token itself is shown once."""

    user = models.ForeignKey("studio.User", on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=80)
    hash = models.CharField(max_length=64, unique=True)
    created = models.DateTimeField(auto_now_add=True)
    last_used = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created"]

    def __str__(self) -> str:
        return self.name

    @staticmethod
    def hash_of(token: str) -> str:
        return hashlib.sha256(token.encode()).hexdigest()

    @classmethod
    def issue(cls, user: User, name: str) -> tuple["ApiToken", str]:
        """Make a token; return the row and the only copy of the secret."""
        token = f"st-{secrets.token_urlsafe(32)}"
        return cls.objects.create(user=user, name=name, hash=cls.hash_of(token)), token

    @classmethod
    def user_of(cls, token: str) -> User | None:
        row = cls.objects.select_related("user").filter(hash=cls.hash_of(token), user__is_active=True).first()
        if row and (row.last_used is None or timezone.now() - row.last_used > timedelta(minutes=1)):
            cls.objects.filter(pk=row.pk).update(last_used=timezone.now())
        return row.user if row else None


class WorkerBeat(models.Model):
    """A worker's sign of life; pages say so when a queue has none."""

    name = models.CharField(max_length=200, unique=True)
    queue = models.CharField(max_length=80, db_index=True)
    device = models.CharField(max_length=200, blank=True)
    seen = models.DateTimeField()

    def __str__(self) -> str:
        return self.name

    @classmethod
    def listening(cls) -> set[str]:
        """Queues somebody listened to in the last half minute."""
        since = timezone.now() - timedelta(seconds=30)
        return set(cls.objects.filter(seen__gte=since).values_list("queue", flat=True))
