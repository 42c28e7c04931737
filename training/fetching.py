"""Fetch a model from the Hugging Face hub into the store: safetensors and text files, never code or pickles."""

import shutil
import uuid
from datetime import datetime, timedelta
from pathlib import Path

from django.utils import timezone

from annotation.store import store
from training import wake
from training.follow import heartbeat
from training.models import ModelVersion
from training.registry import BadModel, describe, kind_of_model, publish
from training.rundir import link_or_copy

HUB_FILES = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.md", "tokenizer.model", "LICENSE*"]
SILENT = timedelta(seconds=30)


def fetch_model(model: ModelVersion) -> None:
    """Download it. What comes twice finds it under way or done; what fails says why on the model's page."""
    if model.status != "fetching" or model.source.startswith("runs/"):
        return
    partial = store().work(f"models/.{model.slug}-{uuid.uuid4().hex[:8]}")
    row = ModelVersion.objects.filter(pk=model.pk, status="fetching")
    try:
        with heartbeat(lambda: row.update(metrics={"beat": timezone.now().isoformat()})):
            download(model.source, partial)
            facts = describe(partial) | {"makes": kind_of_model(partial)}
            publish(partial, model, link_or_copy)
        row.update(status="ready", message="", metrics={}, **facts)
    except (BadModel, OSError) as error:
        row.update(status="failed", message=str(error), metrics={})
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def wake_lost() -> int:
    """Send again what no worker has fetched for half a minute."""
    rows = ModelVersion.objects.filter(status="fetching", endpoint="").exclude(source__startswith="runs/")
    lost = [model for model in rows if timezone.now() - heard_of(model) > SILENT]
    return sum(wake.send("training.tasks.fetch_model", model.pk) for model in lost)


def heard_of(model: ModelVersion) -> datetime:
    beat = model.metrics.get("beat")
    return datetime.fromisoformat(beat) if beat else model.created


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
