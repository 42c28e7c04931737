"""From launch() to the first optimiser step: the starter model, DPO with LoRA, through a real trainer process.

python -m benchmarks launch_latency            # the starter model of STUDIO_HOME
BENCH_MODEL=/folder BENCH_RUNS=5 python -m benchmarks launch_latency
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RUNS = int(os.environ.get("BENCH_RUNS", 3))
ROWS = 32
SETTINGS = {"max_steps": 2, "per_device_train_batch_size": 4, "max_length": 512, "save_steps": 0}
QUESTION = "Explain to a friend who never heard of it how {} works, in a few plain sentences; say what is unsure."
TOPICS = ("rain", "glass", "bread", "the tides", "sleep", "a map", "rust", "tea")


def main() -> None:
    with studio() as (dataset, base, user):
        runs = [measure(dataset, base, user) for _ in range(RUNS)]
    figures = {name: round(statistics.median(run[name] for run in runs), 2) for name in runs[0]}
    print(json.dumps({"benchmark": "launch_latency", "model": model_folder().name, "runs": RUNS, **figures}))


def measure(dataset, base, user) -> dict[str, float]:
    """Seconds since launch() at which the job was claimed, its process began, training began, one step was done."""
    from training.jobs import launch

    begun = time.time()
    job = launch(user, dataset, "dpo", base, SETTINGS, name="latency")
    wait_for_end(job)
    first = job.metrics.filter(values__has_key="loss").first()
    process = os.stat(run_dir(job) / "config.json").st_mtime
    return {
        "claimed_s": job.started.timestamp() - begun,
        "process_s": process - begun,
        "first_step_s": first.time - begun,
    }


def wait_for_end(job) -> None:
    while not job.ended:
        time.sleep(0.2)
        job.refresh_from_db()
    if job.status != "succeeded":
        raise SystemExit(f"The training did not end well: {job.error}")


def run_dir(job) -> Path:
    from annotation.store import store

    return store().work(job.run_dir)


def model_folder() -> Path:
    home = os.environ.get("BENCH_HOME") or os.environ.get("STUDIO_HOME", ".studio")
    folder = Path(os.environ.get("BENCH_MODEL") or next(iter(sorted(Path(home, "models").glob("*smollm2*"))), ""))
    if not (folder / "config.json").is_file():
        raise SystemExit("No model to measure: set BENCH_MODEL to a model's folder, or make the starter model first.")
    return folder.resolve()


@contextmanager
def studio() -> Iterator[tuple]:
    """A studio of the benchmark's own with a trainer: its dataset, its base model, its user."""
    model = model_folder()
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"STUDIO_HOME": home, "DJANGO_SETTINGS_MODULE": "studio.settings"}
        os.environ |= {"DATABASE_URL": "", "CELERY_BROKER_URL": "", "STUDIO_STORE": ""}
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        made = fill(model)
        with Path(home, "trainer.log").open("wb") as log:
            trainer = subprocess.Popen([sys.executable, "-m", "studio", "trainer"], stdout=log, stderr=log)
        try:
            listen()
            yield made
        finally:
            trainer.terminate()
            trainer.wait()


def fill(model: Path) -> tuple:
    from annotation.models import Dataset, Project
    from annotation.store import store
    from studio.models import User
    from training.registry import register_folder

    user = User.objects.create_superuser("bench", "", "a long password")
    project = Project.objects.create(name="Bench")
    dataset = Dataset.objects.create(project=project, slug="bench", name="Bench", status="ready", rows_train=ROWS)
    folder = store().work(dataset.folder)
    folder.mkdir(parents=True)
    (folder / "train.jsonl").write_text("".join(json.dumps(row(n)) + "\n" for n in range(ROWS)))
    (folder / "eval.jsonl").write_text("")
    return dataset, register_folder(model, name="Starter", user=user), user


def row(n: int) -> dict:
    """A pair of about the length people rank: 30 words of prompt, 60 and 40 of answer."""
    said = f"Think of {TOPICS[n % 8]} number {n}: "
    sides = {"chosen": said + "first one thing, then the next. " * 9, "rejected": said + "it just works. " * 13}
    prompt = [{"role": "user", "content": QUESTION.format(TOPICS[n % 8])}]
    return {"prompt": prompt, **{side: [{"role": "assistant", "content": text}] for side, text in sides.items()}}


def listen() -> None:
    from studio.models import WorkerBeat

    until = time.time() + 60
    while "train" not in WorkerBeat.listening():
        if time.time() > until:
            raise SystemExit("The trainer did not start within a minute.")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
