"""A studio for tests of the job engine: its rows, its workers as real processes, and ways to wait for them.

`celery -A tests.training.engine worker` knows one recipe more than the studio: tests.training.words.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from studio.celery import app as celery_app
from training.recipes import RECIPES

RECIPES["words"] = "tests.training.words"
app = celery_app
ROOT = Path(__file__).resolve().parents[2]


def pairs(count: int = 12) -> list[dict]:
    """Pairs a model of words can learn: polite is chosen, rude is rejected."""
    says = [("Thank you, gladly.", "No."), ("Of course, here it is.", "Go away."), ("Please ask again.", "Whatever.")]
    return [
        {
            "prompt": [{"role": "user", "content": f"Question {n}?"}],
            "chosen": [{"role": "assistant", "content": says[n % 3][0]}],
            "rejected": [{"role": "assistant", "content": says[n % 3][1]}],
            "ranking": n,
            "prompt_id": n,
        }
        for n in range(count)
    ]


def freeze_rows(dataset, train: list[dict], held_out: list[dict]) -> None:
    """Put rows where a frozen dataset has them."""
    from annotation.store import store

    folder = store().work(dataset.folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("train.jsonl", train), ("eval.jsonl", held_out)):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    store().save(dataset.folder)


class Worker:
    """A Celery worker in a process of its own, in its own session."""

    def __init__(self, log: Path, queue: str = "train", env: dict | None = None):
        command = [sys.executable, "-m", "celery", "-A", "tests.training.engine", "worker", "-n", f"{log.stem}@%h"]
        command += ["-Q", queue, "--pool", "threads", "--concurrency", "1", "--loglevel", "INFO"]
        command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        self.log = log
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | {"PYTHONUNBUFFERED": "1"} | (env or {}),
            stdout=log.open("ab"), stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def kill(self) -> None:
        """As when the machine's memory runs out: no goodbye."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self, seconds: float = 15) -> float:
        """Ask it to end; return how long that took."""
        begun = time.monotonic()
        self.process.terminate()
        self.process.wait(seconds)
        return time.monotonic() - begun


def python(code: str, env: dict, *arguments: str) -> str:
    """What a script says that runs in another process of this studio."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def wait_for(true: Callable[[], object], seconds: float = 30, what: str = "") -> object:
    """The first truthy answer; an error that says what it waited for."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if answer := true():
            return answer
        time.sleep(0.1)
    raise AssertionError(f"waited {seconds} s in vain for {what or true}")


def ended(job, seconds: float = 60):
    def check() -> bool:
        job.refresh_from_db()
        return job.ended

    wait_for(check, seconds, f"job {job.pk} to end; it is {job.status} at step {job.step}: {job.log[-2000:]}")
    return job


def at_step(job, step: int, seconds: float = 60):
    def check() -> bool:
        job.refresh_from_db()
        return job.step >= step or job.ended

    wait_for(check, seconds, f"job {job.pk} to reach step {step}: {job.log[-2000:]}")
    return job


def s3_files(folder: str) -> set[str]:
    """Names of the files below a folder of the bucket."""
    import s3fs

    found = s3fs.S3FileSystem(skip_instance_cache=True).find(folder)
    return {name.removeprefix(f"{folder}/") for name in found}


def trainings(folder: Path) -> list[psutil.Process]:
    """Recipes at work below this folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or [""]
        if line[-1].startswith(f"{folder}/") and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found
