"""What the verbs share: output for people or as JSON, and finding things by name with an error that helps."""

import json

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, ProgrammingError
from django.db.models import CharField
from django.db.models.functions import Cast

from annotation.models import Dataset, Project
from training.models import ModelVersion, TrainingJob


class Verb(BaseCommand):
    """A verb prints sentences, or with --json one JSON value."""

    def add_arguments(self, parser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON value instead of sentences")
        parser.add_argument("--user", help="act as this user (default: the first admin)")
        self.arguments(parser)

    def arguments(self, parser) -> None:
        """A verb's own arguments."""

    def emit(self, data: object, text: str) -> None:
        self.stdout.write(json.dumps(data, default=str) if self.as_json else text)

    def say(self, text: str) -> None:
        """Progress, for people: on stderr, so that --json stays clean."""
        self.stderr.write(text)

    def execute(self, *args, **options):
        self.as_json = options.get("json", False)
        try:
            return super().execute(*args, **options)
        except (OperationalError, ProgrammingError) as error:
            why = str(error).strip().splitlines()[0]
            raise CommandError(
                f"The database cannot be used: {why}. Is it up, and did `studio migrate` run?"
            ) from error


def acting_user(username: str | None):
    users = get_user_model().objects
    found = users.filter(username=username) if username else users.filter(is_superuser=True).order_by("pk")
    if user := found.first():
        return user
    raise CommandError(f"No user {username!r}." if username else "No admin yet: run `studio createsuperuser`.")


def one_of(queryset, field: str, value: str, what: str):
    """The row whose `field` is `value`, else an error that lists what there is."""
    if row := queryset.filter(**{field: value}).first():
        return row
    there = ", ".join(str(v) for v in queryset.values_list(field, flat=True)[:20])
    raise CommandError(f"No {what} {value!r}. There is: {there or 'none yet'}.")


def project_named(slug: str) -> Project:
    return one_of(Project.objects.all(), "slug", slug, "project")


def dataset_named(slug: str) -> Dataset:
    return one_of(Dataset.objects.filter(status="ready"), "slug", slug, "dataset")


def model_named(slug: str) -> ModelVersion:
    return one_of(ModelVersion.objects.usable(), "slug", slug, "model")


def job_numbered(pk: str) -> TrainingJob:
    return one_of(TrainingJob.objects.annotate(number=Cast("pk", CharField())), "number", pk, "job")
