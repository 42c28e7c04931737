"""The cast of every test: alice manages a project, bob labels on it, carol must see nothing of it."""

import os

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import DatabaseError, connection, transaction
from django.test import TransactionTestCase
from hypothesis import HealthCheck, settings

from annotation.models import Completion, Membership, Project, Prompt, fingerprint

pytest_plugins = ["tests.halves", "tests.services", "tests.serving", "tests.live"]
settings.register_profile("calm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("calm")  # a busy machine is no failure
KEPT = {"django_content_type", "auth_permission"}  # migrating fills them, and tests leave them as they are


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    """What trainings remember for later ones is remembered for this session alone."""
    os.environ["STUDIO_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True, scope="session")
def emptying_is_quick():
    """Django truncates every table after a test that commits: a second on PostgreSQL, whose rows are few."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda test: emptied())
        yield


def emptied() -> None:
    """Delete what there is. A page's last request may be under way and add to it: then that is deleted too."""
    for attempt in range(5):
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                for table in filled(cursor):
                    cursor.execute(f"DELETE FROM {table}")
            return
        except DatabaseError:
            if attempt == 4:
                raise


def filled(cursor) -> list[str]:
    """Tables with rows, but for those that migrating fills."""
    names = map(connection.ops.quote_name, set(connection.introspection.django_table_names(True)) - KEPT)
    cursor.execute(" UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {name})" for name in names))
    return [name for (name,) in cursor.fetchall()]


@pytest.fixture(autouse=True)
def nothing_remembered():
    """What is cached by the id of a row would be believed of the next test's row with that id."""
    yield
    cache.clear()


def person(username: str):
    return get_user_model().objects.create_user(username, f"{username}@example.org", "a long password")


@pytest.fixture
def alice(db):
    return person("alice")


@pytest.fixture
def bob(db):
    return person("bob")


@pytest.fixture
def carol(db):
    return person("carol")


@pytest.fixture
def project(alice, bob):
    project = Project.objects.create(name="Helpful answers", guidelines="# Guidelines\n\nPrefer what is **true**.")
    Membership.objects.create(project=project, user=alice, role="manager")
    Membership.objects.create(project=project, user=bob, role="labeler")
    return project


@pytest.fixture
def make_prompt(project):
    def make(
        text="What is the capital of Peru?", completions=("Lima.", "Cusco.", "I am not sure."), wanted=1, **fields
    ):
        messages = [{"role": "user", "content": text}]
        place = fields.pop("project", project)
        prompt = Prompt.objects.create(
            project=place,
            messages=messages,
            text=text,
            fingerprint=fields.pop("fingerprint", fingerprint(messages)),
            problem=fingerprint(messages) if place.kind == "steps" else "",
            labels_wanted=wanted,
            open_slots=wanted,
            **fields,
        )
        Project.objects.filter(pk=prompt.project_id).update(prompt_count=prompt.project.prompts.count())
        for answer in completions:
            Completion.objects.create(prompt=prompt, text=answer, source="model", fingerprint=fingerprint(answer))
        return prompt

    return make


@pytest.fixture
def prompt(make_prompt):
    return make_prompt()


@pytest.fixture
def traces(alice, bob):
    """A project in which steps are marked; alice manages it, bob labels."""
    project = Project.objects.create(name="Sound steps", kind="steps", guidelines="Mark the **first** wrong step.")
    Membership.objects.create(project=project, user=alice, role="manager")
    Membership.objects.create(project=project, user=bob, role="labeler")
    return project


@pytest.fixture
def make_trace(traces, make_prompt):
    def make(text="What is 3 × 4 + 5?", steps=("3 × 4 = 12", "12 + 5 = 18", "The answer is 18."), **fields):
        known = {"project": traces, "reference": "17"}
        known["fingerprint"] = fingerprint([[{"role": "user", "content": text}], list(steps)])
        prompt = make_prompt(text, completions=(), **known | fields)
        whole = "\n\n".join(steps)
        mark = fingerprint(list(steps))
        Completion.objects.create(prompt=prompt, text=whole, steps=list(steps), source="model", fingerprint=mark)
        return prompt

    return make


@pytest.fixture
def trace(make_trace):
    return make_trace()
