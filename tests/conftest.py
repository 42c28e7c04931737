"""The cast of every test: alice manages a project, bob labels on it, carol must see nothing of it."""

import pytest
from django.contrib.auth import get_user_model

from annotation.models import Completion, Membership, Project, Prompt, fingerprint

pytest_plugins = ["tests.serving", "tests.live"]


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
        prompt = Prompt.objects.create(
            project=fields.pop("project", project),
            messages=messages,
            text=text,
            fingerprint=fingerprint(messages),
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
