"""What tests of the job engine share: a frozen dataset, a base model, a way to launch, and workers to do it."""

import shutil
import socket
import subprocess

import pytest
from django.conf import settings
from django.db import connection

from annotation.models import Dataset
from tests.training import engine, words


@pytest.fixture
def clean_home(transactional_db):
    """Rows of an earlier test are gone; so are its files and its messages."""
    for folder in ("runs", "models", "datasets"):
        shutil.rmtree(settings.HOME / folder, ignore_errors=True)
    with engine.app.connection_for_write() as broker:
        for queue in ("train", "default"):
            broker.default_channel.queue_declare(queue)
            broker.default_channel.queue_purge(queue)
    return settings.HOME


@pytest.fixture
def dataset(clean_home, project, alice):
    dataset = Dataset.objects.create(
        project=project,
        slug="polite",
        name="Polite pairs",
        status="ready",
        rows_train=12,
        rows_eval=3,
        created_by=alice,
    )
    engine.freeze_rows(dataset, engine.pairs(12), engine.pairs(3))
    return dataset


@pytest.fixture
def base_model(clean_home, alice, tmp_path):
    from training.registry import register_folder

    words.save(tmp_path / "no-words", {"thanks": 0.0})
    return register_folder(tmp_path / "no-words", name="No words", user=alice)


@pytest.fixture
def launch_words(alice, dataset, base_model):
    """Launch the small recipe with these settings."""
    from training.jobs import launch

    def launch_with(name="Manners", **settings):
        return launch(alice, dataset, "words", base_model, settings, name=name)

    return launch_with


@pytest.fixture
def worker_env(clean_home):
    """What a worker process needs to be part of this test's studio."""
    return {"DJANGO_SETTINGS_MODULE": "studio.settings", "STUDIO_HOME": str(clean_home), "DATABASE_URL": database_url()}


@pytest.fixture
def start_worker(worker_env, tmp_path):
    """Start trainers (or workers of another queue); every process of theirs is gone when the test ends."""
    started = []

    def start(name="trainer", queue="train", **env):
        started.append(engine.Worker(tmp_path / f"{name}.log", queue, worker_env | env))
        return started[-1]

    yield start
    for worker in started:
        worker.kill()
    for process in engine.trainings(settings.HOME / "runs"):
        process.kill()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def own_redis(tmp_path):
    """A Redis of this test's own, that it may kill."""
    if not (program := shutil.which("redis-server")):
        pytest.skip("needs redis-server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = []

    def start() -> str:
        command = [program, "--port", str(port), "--save", "", "--dir", str(tmp_path), "--bind", "127.0.0.1"]
        running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        engine.wait_for(lambda: listens(port), 10)
        return f"redis://127.0.0.1:{port}/0"

    def kill() -> None:
        running[-1].kill()
        running[-1].wait()

    yield start, kill
    for process in running:
        process.kill()


def database_url() -> str:
    known = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{known['NAME']}"
    return f"postgres://{known['USER']}:{known['PASSWORD']}@{known['HOST']}:{known['PORT']}/{known['NAME']}"
