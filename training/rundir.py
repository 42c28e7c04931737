"""Lay out a job's run directory, and start the process that trains in it: detached, and without a secret."""

import json
import os
import re
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from django.conf import settings

from annotation.store import store
from training import executors, hosts, rollouts
from training.models import Metric, RolloutGroup, Sample, TrainingJob
from training.recipes import RECIPES
from training.reward_models import rewarding

PACKAGES = ("torch", "transformers", "trl", "peft", "datasets", "accelerate", "safetensors", "tokenizers")
SECRET = re.compile(r"SECRET|TOKEN(?!IZERS)|PASSW|CREDENTIAL|API_?KEY|PRIVATE|DATABASE|BROKER|SMTP|DSN|^AWS_|^STUDIO_")
LOGIN = re.compile(r"://[^/\s]*@")  # user:password@ in an address
HANDED_OVER = ("checkpoints", "metrics.jsonl", "samples.jsonl", "rollouts.jsonl", "log.txt")


def prepare(job: TrainingJob, came_from: str = "") -> Path:
    """Everything the recipe reads, in place: config.json first, then the frozen rows, then what it goes on from.

    `came_from` is the host that had the job before, if any.
    """
    run_dir = store().work(job.run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    for stale in ("result.json", "model", "model.partial"):
        remove(run_dir / stale)
    write_config(job, run_dir)
    for name in ("train.jsonl", "eval.jsonl"):
        place(f"{job.dataset.folder}/{name}", run_dir / "dataset" / name)
    if came_from and not store().local and not came_from.startswith(hosts.machine() + "#"):
        take_over(job, run_dir)
    restore(job, run_dir)
    return run_dir


def write_config(job: TrainingJob, run_dir: Path) -> None:
    models = rewarding(job.settings, job.dataset.project)
    config = {
        "recipe": job.recipe,
        "base_model": str(store().fetch(job.base_model.folder)),
        "ref_model": None,
        "device": settings.DEVICE if job.device == "auto" else job.device,
        "settings": job.settings,
        "models": {name: str(store().fetch(found.folder)) for name, found in models.items()},
        "versions": versions(),
    }
    partial = run_dir / "config.json.partial"
    partial.write_text(json.dumps(config, indent=1, ensure_ascii=False))
    partial.replace(run_dir / "config.json")


def versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def place(key: str, path: Path) -> None:
    """Put a file of the store at `path`: a link where the disk allows, else a copy."""
    source = store().fetch(key)
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    link_or_copy(source, path)


def link_or_copy(source: Path | str, path: Path | str) -> None:
    try:
        os.link(source, path)
    except OSError:
        shutil.copyfile(source, path)


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


def take_over(job: TrainingJob, run_dir: Path) -> None:
    """Fetch what another machine published when it let go; what an older attempt left here is stale."""
    for name in HANDED_OVER:
        remove(run_dir / name)
        if store().exists(f"{job.run_dir}/{name}"):
            store().fetch(f"{job.run_dir}/{name}")


def restore(job: TrainingJob, run_dir: Path) -> None:
    """Lines the database knows of stand in the files too, so that line numbers go on where they were."""
    for name, rows in (("metrics.jsonl", Metric), ("samples.jsonl", Sample), (rollouts.FILE, RolloutGroup)):
        known = rows.objects.filter(job=job).order_by("line")
        if (run_dir / name).exists() or not known.exists():
            continue
        with (run_dir / name).open("w", encoding="utf-8") as file:
            written = 0
            for row in known.iterator(500):
                file.write("\n" * (row.line - written) + json.dumps(as_line(row), ensure_ascii=False) + "\n")
                written = row.line + 1


def as_line(row: Metric | Sample | RolloutGroup) -> dict:
    if isinstance(row, RolloutGroup):
        return rollouts.as_line(row)
    names = ("time", "values") if isinstance(row, Metric) else ("prompt", "completion", "reward", "parts")
    return {name: getattr(row, name) for name in ("step", *names)}


def has_checkpoint(run_dir: Path) -> bool:
    return any((run_dir / "checkpoints").glob("checkpoint-*"))


def start(job: TrainingJob, run_dir: Path) -> subprocess.Popen:
    """Start the recipe in a session of its own, so that it outlives this worker."""
    device = settings.DEVICE if job.device == "auto" else job.device
    command = executors.command(job.executor, RECIPES[job.recipe], run_dir, device)
    with (run_dir / "log.txt").open("ab") as log:
        log.write(f"— started {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n".encode())
        log.flush()
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            cwd=run_dir, env=environment(), start_new_session=True,
        )  # fmt: skip


def environment() -> dict[str, str]:
    """This process's variables without anything that could be a secret, and with the recipes importable."""
    kept = {
        name: value for name, value in os.environ.items() if not SECRET.search(name.upper()) and not LOGIN.search(value)
    }
    path = [str(settings.BASE_DIR), kept.get("PYTHONPATH", "")]
    private = {"PRIVATE_ENDPOINTS": "1"} if settings.PRIVATE_ENDPOINTS else {}
    own = {"STUDIO_CACHE": str(settings.HOME / "cache")}
    return kept | private | own | {"PYTHONPATH": os.pathsep.join(filter(None, path)), "PYTHONUNBUFFERED": "1"}
