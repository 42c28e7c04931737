"""Two trainers that share a database, a broker and an S3 store, and no folder: each trains, and models come back."""

import json
import urllib.request
from functools import partial

import pytest

from studio.models import WorkerBeat
from tests.tiny import tiny_model
from tests.training import engine, words
from tests.training.engine import at_step, ended, wait_for
from training.jobs import cancel, resume
from training.models import TrainingJob

SETUP = """
import json, sys, django; django.setup()
from annotation.models import Dataset
from studio.models import User
from tests.training import engine
from training.jobs import launch
from training.registry import register_folder
recipe, folder, jobs, settings = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
user, dataset = User.objects.get(username="alice"), Dataset.objects.get(slug="polite")
engine.freeze_rows(dataset, engine.pairs(12), engine.pairs(3))
base = register_folder(folder, name="Base", user=user)
print(json.dumps([launch(user, dataset, recipe, base, settings, name=f"Job {n}").pk for n in range(jobs)]))
"""
FETCH = """
import sys, django; django.setup()
from annotation.store import store
from training.models import ModelVersion
from training.registry import describe
print(*(describe(store().fetch(ModelVersion.objects.get(slug=slug).folder))["sha256"] for slug in sys.argv[1:]))
"""


@pytest.fixture
def bucket(monkeypatch):
    """An S3 server of this test's own; every process is told by the environment where it is."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    env = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_DEFAULT_REGION": "us-east-1"}
    env |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "STUDIO_STORE": "s3://studio/artifacts"}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    urllib.request.urlopen(f"{env['AWS_ENDPOINT_URL']}/moto-api/reset", data=b"").close()
    import s3fs

    s3fs.S3FileSystem(skip_instance_cache=True).mkdir("studio")
    yield env
    server.stop()


@pytest.fixture
def machine(worker_env, own_redis, bucket, tmp_path):
    """The environment of a machine with a home of its own."""
    start_redis, _ = own_redis
    url = start_redis()

    def environment(name):
        (tmp_path / name).mkdir(exist_ok=True)
        return worker_env | bucket | {"CELERY_BROKER_URL": url, "STUDIO_HOME": str(tmp_path / name)}

    return environment


@pytest.fixture
def trainer(machine, start_worker, tmp_path, request):
    def start(name):
        def clean():
            for process in engine.trainings(tmp_path / name / "runs"):
                process.kill()

        request.addfinalizer(clean)
        return start_worker(name, **machine(name))

    return start


def homes(jobs) -> set[str]:
    return {job.host.partition("#")[0].rpartition("/")[2] for job in jobs}


def launch_on_web(machine, recipe, folder, count, **settings):
    said = engine.python(SETUP, machine("web"), recipe, str(folder), str(count), json.dumps(settings))
    return [TrainingJob.objects.get(pk=pk) for pk in json.loads(said)]


WORDS = {"max_steps": 40, "pause": 0.1}
REAL = {"max_steps": 3, "per_device_train_batch_size": 2, "max_length": 128, "lora": False, "save_steps": 0}


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        pytest.param("words", WORDS, id="words"),
        pytest.param("reward_model", REAL, id="real", marks=[pytest.mark.training, pytest.mark.long]),
    ],
)
def test_each_of_two_machines_trains_a_job_and_both_models_come_back(
    dataset, machine, trainer, tmp_path, recipe, settings
):
    make_base = tiny_model if recipe == "reward_model" else partial(words.save, weights={"thanks": 0.0})
    make_base(tmp_path / "base")
    trainer("north"), trainer("south")
    wait_for(lambda: WorkerBeat.objects.count() == 2)
    jobs = launch_on_web(machine, recipe, tmp_path / "base", 2, **settings)
    for job in jobs:
        ended(job, 120)
    assert [job.status for job in jobs] == ["succeeded"] * 2, [job.error for job in jobs]
    assert homes(jobs) == {"north", "south"} and jobs[1].started < jobs[0].finished  # side by side
    fetched = engine.python(FETCH, machine("web"), *(job.model.slug for job in jobs)).split()
    assert fetched == [job.model.sha256 for job in jobs]
    for job in jobs:  # the web process reads the run's files from the store too
        assert engine.s3_files(f"studio/artifacts/runs/{job.pk}") >= {"config.json", "log.txt", "metrics.jsonl"}


@pytest.mark.long
def test_a_job_stopped_on_one_machine_goes_on_from_its_checkpoint_on_another(dataset, machine, trainer, tmp_path):
    words.save(tmp_path / "base", {"thanks": 0.0})
    (job,) = launch_on_web(machine, "words", tmp_path / "base", 1, max_steps=60, pause=0.05)
    north = trainer("north")
    at_step(job, 12)
    cancel(job, "stop")
    assert ended(job).status == "cancelled"
    north.stop()
    lines = job.metrics.count()
    with pytest.MonkeyPatch.context() as web:
        web.setattr("training.wake.send", lambda *_, **__: False)  # this process has another broker: reconciling wakes
        resume(job)
    trainer("south")
    ended(job, 60)
    assert job.status == "succeeded" and homes([job]) == {"south"}, job.error
    resumed = (tmp_path / "south" / "runs" / str(job.pk) / "starts.txt").read_text().split()
    assert int(resumed[1]) >= 10 and job.metrics.count() > lines
    numbers = list(job.metrics.values_list("line", flat=True))
    assert numbers == list(range(len(numbers))) and job.metrics.last().step == 60
    wait_for(lambda: "checkpoint-60" not in engine.s3_files(f"studio/artifacts/runs/{job.pk}"), 5)
