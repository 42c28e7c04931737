"""Look before launching: run a recipe's preflight in a worker, and keep what it found."""

import json
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from django.utils import timezone

from annotation.store import store
from training import wake
from training.models import Preflight
from training.rundir import environment, place, write_config

TIMEOUT = 600  # seconds
SILENT = timedelta(seconds=20)  # a message not taken for so long may be lost
KEPT = timedelta(days=7)  # settings are checked again before a launch long after


def ask(user, **fields) -> Preflight:
    """Queue a look at these rows, this model and these settings."""
    sweep()
    check = Preflight.objects.create(created_by=user, **fields)
    wake.on_commit("training.tasks.preflight", check.pk)
    return check


def sweep() -> None:
    """Forget checks of last week."""
    Preflight.objects.filter(created__lt=timezone.now() - KEPT).delete()


def run(check: Preflight) -> None:
    """Do it, once: a message that comes twice finds it claimed."""
    if not Preflight.objects.filter(pk=check.pk, status="queued").update(status="running"):
        return
    try:
        found = {"status": "ready", "report": look(check)}
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        found = {"status": "failed", "message": str(error)}
    finally:
        shutil.rmtree(store().work(check.folder), ignore_errors=True)
    Preflight.objects.filter(pk=check.pk).update(**found)


def wake_lost() -> int:
    """Send again what no worker took; give up what a worker took and never brought back. Returns how many were sent."""
    old = timezone.now() - timedelta(seconds=TIMEOUT + 60)
    gone = "The worker that looked at it is gone. Check again."
    Preflight.objects.filter(status="running", created__lt=old).update(status="failed", message=gone)
    queued = Preflight.objects.filter(status="queued", created__lt=timezone.now() - SILENT)
    return sum(wake.send("training.tasks.preflight", pk) for pk in queued.values_list("pk", flat=True)[:20])


def look(check: Preflight) -> dict:
    """Lay out a run directory, run `python -m training.recipes.preflight` in it, read preflight.json."""
    folder = store().work(check.folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_config(check, folder)
    for name in ("train.jsonl", "eval.jsonl"):
        place(f"{check.dataset.folder}/{name}", folder / "dataset" / name)
    command = [sys.executable, "-m", "training.recipes.preflight", str(folder)]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=TIMEOUT)
    if not (folder / "preflight.json").exists():
        raise ValueError(
            last_line(done.stderr) or f"The preflight ended with status {done.returncode} and said nothing."
        )
    return read(folder / "preflight.json")


def read(path: Path) -> dict:
    report = json.loads(path.read_text("utf-8"))
    if not isinstance(report, dict):
        raise ValueError("preflight.json is not an object.")
    return report


def last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")
