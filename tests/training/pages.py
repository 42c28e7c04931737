"""Rows that tests of the pages need: a frozen dataset, a base model, jobs and versions in any state."""

import json

import pytest

from annotation.models import Dataset
from annotation.store import store
from training.models import ModelVersion, TrainingJob
from training.recipes import recipe


@pytest.fixture
def pairs_dataset(project, alice):
    return Dataset.objects.create(
        project=project, slug="pairs", name="Polite pairs", status="ready", rows_train=12, rows_eval=3,
        ranking_count=5, fingerprint="ab" * 32, created_by=alice,
    )  # fmt: skip


@pytest.fixture
def small_model(alice):
    return ModelVersion.objects.create(name="Small", slug="small-v1", parameters=1000, bytes=4000, created_by=alice)


@pytest.fixture
def make_job(project, pairs_dataset, small_model, alice):
    def make(name="Manners", recipe_name="dpo", settings=None, **fields):
        module = recipe(recipe_name)
        config = vars(module.Config()) | (settings or {})
        known = {"project": project, "dataset": pairs_dataset, "base_model": small_model, "created_by": alice}
        return TrainingJob.objects.create(name=name, recipe=recipe_name, settings=config, **(known | fields))

    return make


@pytest.fixture
def make_model(project, alice):
    """A version with a folder of files in the store."""

    def make(name="Polite", slug="polite-v1", files=None, **fields):
        model = ModelVersion.objects.create(name=name, slug=slug, created_by=alice, **({"project": project} | fields))
        for path, content in (files or {}).items():
            target = store().work(model.folder) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content if isinstance(content, bytes) else content.encode())
        return model

    return make


@pytest.fixture
def write_run(db):
    """Put files into a job's run directory; log__txt is log.txt."""

    def write(job, **files):
        folder = store().work(job.run_dir)
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name.replace("__", ".")).write_text(content if isinstance(content, str) else json.dumps(content))

    return write


@pytest.fixture
def admin(django_user_model):
    return django_user_model.objects.create_superuser("ada", "ada@example.org", "a long password")


@pytest.fixture
def as_(client):
    def login(user):
        client.force_login(user)
        return client

    return login
