"""What became of a training: read its result, tell failures apart, keep the model, and say what to try."""

import errno
import json
import logging
import shutil
import signal
from pathlib import Path
from typing import Any

from django.db import DatabaseError, transaction
from django.utils import timezone

from annotation.store import store
from training import registry
from training.models import ModelVersion, TrainingJob
from training.recipes.run import ADVICE
from training.rundir import HANDED_OVER, has_checkpoint
from training.tail import last_bytes

logger = logging.getLogger(__name__)
ATTEMPTS = 3  # starts in a row without a new checkpoint, before a death without a reason is final
RESUME = "Resume goes on from the newest checkpoint."
SIGNS = {  # what the end of a log says → class
    "out_of_memory": ("out of memory", "outofmemoryerror", "memoryerror", "cannot allocate memory", "std::bad_alloc"),
    "disk_full": ("no space left on device", "file too large", "disk quota exceeded"),
}
NOT_INSTALLED = "Install the training packages on this trainer: pip install 'alignment-studio[train]'."


def finish(job: TrainingJob, run_dir: Path, code: int | None) -> None:
    """Bring the row to its end, or back into the queue. `code` is the child's exit status where it is known."""
    job.refresh_from_db(fields=["cancel", "model"])
    result = read_result(run_dir)
    status = (result or {}).get("status")
    attempts = 0 if made_progress(run_dir) else job.attempts
    again, ended_by_signal = attempts < ATTEMPTS, not status and code in (None, -signal.SIGTERM)
    if status == "succeeded" or (status == "stopped" and (job.cancel == "save" or not (job.cancel or again))):
        if status == "stopped" and not (run_dir / "model").exists():  # asked before there was anything to save
            end(job, run_dir, "stopped", result=result)
        else:
            keep_model(job, run_dir, result)
    elif job.cancel == "stop":
        end(job, run_dir, "cancelled", result=result)
    elif job.cancel and ended_by_signal:  # asked before it could even listen
        end(job, run_dir, "stopped")
    elif status == "failed":
        end(job, run_dir, "failed", result=result, error=result.get("error") or explain(run_dir, code))
    elif again and (status == "stopped" or (ended_by_signal and (has_checkpoint(run_dir) or job.pid is None))):
        requeue(job, run_dir, attempts)  # nobody asked: the machine went down
    else:
        end(job, run_dir, "failed", error=explain(run_dir, code))


def made_progress(run_dir: Path) -> bool:
    """Whether this start (its config.json) left a checkpoint: then it is no failed attempt."""
    began = (run_dir / "config.json").stat().st_mtime if (run_dir / "config.json").exists() else 0
    return any(checkpoint.stat().st_mtime > began for checkpoint in (run_dir / "checkpoints").glob("checkpoint-*"))


def read_result(run_dir: Path) -> dict[str, Any] | None:
    try:
        result = json.loads((run_dir / "result.json").read_text())
    except (OSError, ValueError):
        return None
    return result if isinstance(result, dict) and result.get("status") in ("succeeded", "stopped", "failed") else None


def keep_model(job: TrainingJob, run_dir: Path, result: dict[str, Any]) -> None:
    """Register the model. Done twice, because a worker died in the middle, it is still one version."""
    try:
        model = registry.register_run(job, run_dir / "model", result)
    except DatabaseError:
        raise
    except Exception as error:  # a shared store has errors of its own
        ModelVersion.objects.filter(pk=job.model_id, status="fetching").delete()
        message = f"The training ended well, but its model could not be kept: {error}"
        return end(job, run_dir, "failed", result=result, error=failure(kind_of(error), message, advice_on(error)))
    with transaction.atomic():
        if end(job, run_dir, result["status"], result=result, model=model):
            registry.announce(model)


def end(job: TrainingJob, run_dir: Path, status: str, **fields: Any) -> bool:
    """The last update of a job; only its follower may make it."""
    hand_over(job, run_dir, status)
    known = {"finished": timezone.now(), "heartbeat": None, "pid": None, "eta": None, "cancel": ""}
    if result := fields.get("result"):
        known |= {"step": result.get("step") or job.step, "total": result.get("total") or job.total}
    mine = TrainingJob.objects.filter(pk=job.pk, worker=job.worker, status__in=["running", "stopping"])
    return bool(mine.update(status=status, **(known | fields)))


def requeue(job: TrainingJob, run_dir: Path, attempts: int) -> None:
    hand_over(job, run_dir, "queued")
    mine = TrainingJob.objects.filter(pk=job.pk, worker=job.worker, status__in=["running", "stopping"])
    mine.update(status="queued", attempts=max(0, attempts), worker="", pid=None, heartbeat=None, sent=None, eta=None)


def hand_over(job: TrainingJob, run_dir: Path, status: str) -> None:
    """Publish what another machine needs to go on, or a person to read; a finished training keeps no checkpoints."""
    if status == "succeeded":
        shutil.rmtree(run_dir / "checkpoints", ignore_errors=True)
    if store().local:
        return
    try:
        for name in (*HANDED_OVER, "config.json", "result.json"):
            if (run_dir / name).exists():
                store().save(f"{job.run_dir}/{name}")
    except Exception:  # the job's end counts more than its files elsewhere
        logger.exception("job %s: its run directory could not be published", job.pk)


def failure(kind: str, message: str, advice: str = "") -> dict[str, str]:
    return {"class": kind, "message": message, "advice": advice or ADVICE.get(kind, "")}


def explain(run_dir: Path, code: int | None) -> dict[str, str]:
    """A child that left no result: what its exit status and the end of its log say."""
    log = last_bytes(run_dir / "log.txt", 4096).strip()
    lines = [line for line in log.splitlines() if line.strip()]
    last = "\n".join(lines[-5:])
    if code is None:
        return failure("lost", f"The training process is gone and left no result. Its last words:\n{last}", RESUME)
    for kind, signs in SIGNS.items():
        if any(sign in log.lower() for sign in signs):
            return failure(kind, lines[-1])
    if shutil.disk_usage(run_dir).free < 1_000_000:
        return failure("disk_full", f"The disk that holds {run_dir} is full.")
    if code in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return failure("out_of_memory", "Killed by the system (signal 9), most likely because memory ran out.")
    if "ModuleNotFoundError" in last:
        return failure("crash", lines[-1], NOT_INSTALLED)
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
    return failure("crash", f"Ended with {how} and no result. Its last words:\n{last}")


def kind_of(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "disk_full"
    return "bad_data" if isinstance(error, FileNotFoundError) else "crash"


def advice_on(error: Exception) -> str:
    return ADVICE["disk_full"] if kind_of(error) == "disk_full" else f"Look at the message, then resume. {RESUME}"
