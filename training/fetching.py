"""Fetch a model from the Hugging Face hub into the store: safetensors and text files, never code or pickles.

A folder of this machine is copied in the same way.
"""

import errno
import shutil
import socket
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.utils import timezone

from annotation.store import store
from training import wake
from training.follow import heartbeat
from training.models import ModelVersion
from training.registry import BadModel, describe, files_in, glance, kind_of_model, publish
from training.rundir import link_or_copy

HUB_FILES = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.md", "tokenizer.model", "LICENSE*"]
SILENT = timedelta(seconds=30)
PIECE = 8 << 20  # bytes of a folder's file copied at a time
SAY_EVERY = 1.0  # seconds between two notes of how far a copy is


def fetch_model(model: ModelVersion) -> None:
    """Bring it here. What comes twice finds it under way or done; what fails says why on the model's page."""
    if not model.coming or model.source.startswith("runs/") or under_way(model):
        return
    row, told = ModelVersion.objects.filter(pk=model.pk, status=model.status), {"since": time.time()}

    def sign(**news: int) -> None:
        told.update(news)
        row.update(metrics=told | {"beat": timezone.now().isoformat()})

    sign()
    partial = clean_place(model)
    try:
        with heartbeat(sign):
            copy(model, partial, sign) if model.status == "copying" else download(model.source, partial)
            facts = describe(partial) | {"makes": kind_of_model(partial)}
            publish(partial, model, link_or_copy)
        row.update(status="ready", message="", metrics={}, **facts)
    except (BadModel, OSError) as error:
        row.update(status="failed", message=reason(model, error), metrics={})
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def under_way(model: ModelVersion) -> bool:
    return "beat" in model.metrics and timezone.now() - heard_of(model) < SILENT


def clean_place(model: ModelVersion) -> Path:
    """A folder to bring it into; what a worker that died half-way left of it is gone."""
    for left in store().work("models").glob(f".{model.slug}-{'?' * 8}"):
        shutil.rmtree(left, ignore_errors=True)
    return store().work(f"models/.{model.slug}-{uuid.uuid4().hex[:8]}")


def wake_lost() -> int:
    """Send again what no worker has fetched for half a minute."""
    rows = ModelVersion.objects.filter(status__in=["fetching", "copying"], endpoint="")
    lost = [m for m in rows.exclude(source__startswith="runs/") if timezone.now() - heard_of(m) > SILENT]
    return sum(wake.send("training.tasks.fetch_model", model.pk) for model in lost)


def heard_of(model: ModelVersion) -> datetime:
    beat = model.metrics.get("beat")
    return datetime.fromisoformat(beat) if beat else model.created


def progress(model: ModelVersion) -> dict[str, Any] | None:
    """How far a copy is: {"done", "total"} in bytes, and "eta" in seconds or None. None for what tells no length."""
    if model.status != "copying" or not model.bytes:
        return None
    done, since = min(model.metrics.get("done", 0), model.bytes), model.metrics.get("since")
    eta = (time.time() - since) / done * (model.bytes - done) if done and since else None
    return {"done": done, "total": model.bytes, "eta": eta, "begun": since is not None}


def copy(model: ModelVersion, partial: Path, say: Callable[..., None]) -> None:
    """Every file of its folder, links followed; `say(done=bytes)` about once a second."""
    folder, done, said = Path(model.source), 0, time.monotonic()
    if not folder.is_dir():
        raise BadModel(
            f"The worker on {socket.gethostname()} finds no folder {folder}. It must lie there until it is copied: "
            "put it back, or where the worker sees it too, and register it again."
        )
    glance(folder)
    partial.mkdir()
    room(model, partial)
    for file in files_in(folder):
        target = partial / file.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        with file.open("rb") as source, target.open("wb") as copied:
            while piece := source.read(PIECE):
                done += copied.write(piece)
                if time.monotonic() - said >= SAY_EVERY:
                    said = time.monotonic()
                    say(done=done)
    say(done=done)


def room(model: ModelVersion, partial: Path) -> None:
    free = shutil.disk_usage(partial).free
    if model.bytes and free < model.bytes:
        needed = f"{model.bytes / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB free"
        raise OSError(errno.ENOSPC, needed, str(partial.parent))


def reason(model: ModelVersion, error: BadModel | OSError) -> str:
    """What went wrong, and what to do."""
    if not isinstance(error, OSError) or not model.from_folder:
        return str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk of {store().home / 'models'} is full ({error.strerror}). Free some and register it again."
    if isinstance(error, PermissionError):
        return f"The worker may not read {error.filename}. Let its user read it and register it again."
    return f"{error.strerror or error}: {error.filename or model.source}. Look at the folder and register it again."


def download(source: str, folder: Path) -> None:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError
    except ImportError:
        raise BadModel("This worker has no huggingface_hub; install it: pip install huggingface_hub.") from None
    hub_id, _, revision = source.partition("@")
    try:
        snapshot_download(hub_id, revision=revision or None, local_dir=folder, allow_patterns=HUB_FILES)
    except RepositoryNotFoundError:
        raise BadModel(f"The hub has no model {hub_id}, or it is private. Check the spelling.") from None
    except LocalEntryNotFoundError:
        raise BadModel(f"No hub answers, so {hub_id} cannot be fetched. Register a local folder instead.") from None
    except HfHubHTTPError as error:
        raise BadModel(f"The hub refused {hub_id}: {str(error).strip().splitlines()[0]}") from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)
