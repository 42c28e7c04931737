"""Register model versions: from a job's run directory, a local folder, a hub id, or an OpenAI-compatible endpoint."""

import hashlib
import json
import re
import shutil
import uuid
from math import prod
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.db import IntegrityError, transaction
from django.utils.text import slugify

from annotation.models import Project
from annotation.store import store
from training import wake
from training.models import ModelVersion, TrainingJob
from training.recipes import recipe
from training.rundir import link_or_copy, remove

HUB_ID = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?(@[\w./-]{1,100})?")
KEY_NAME = re.compile(r"[A-Z][A-Z0-9_]*_API_KEY")  # no other variable of this process is ever sent anywhere


class BadModel(ValueError):
    """What was named cannot become a model version; the message says why and what to do."""


def register_run(job: TrainingJob, folder: Path, result: dict[str, Any]) -> ModelVersion:
    """A job's model: reserve its version, then put its folder into the store. Doing it again continues the same one."""
    facts = describe(folder)
    model = job.model if job.model and job.model.status == "fetching" else None
    if model is None:
        model = new_version(
            model_name(job), status="fetching", makes=recipe(job.recipe).MAKES, source=job.run_dir,
            project=job.project, base=job.base_model, created_by=job.created_by,
        )  # fmt: skip
        TrainingJob.objects.filter(pk=job.pk).update(model=model)
        job.model = model
    publish(folder, model, link_or_copy)
    for name, value in (facts | {"metrics": result.get("metrics") or {}}).items():
        setattr(model, name, value)
    model.save()
    return model


def announce(model: ModelVersion) -> None:
    """From here on it can be chosen."""
    ModelVersion.objects.filter(pk=model.pk).update(status="ready")


def model_name(job: TrainingJob) -> str:
    return (job.name or f"{job.base_model.name}-{job.recipe}")[:100]


def register_folder(
    folder: Path | str, name: str = "", makes: str = "", user=None, project: Project | None = None
) -> ModelVersion:
    """Weights that lie on this machine, copied into the store. `makes` is read from config.json when empty."""
    folder = Path(folder).expanduser()
    facts = describe(folder)
    makes = makes or kind_of_model(folder)
    known = {"makes": makes, "project": project, "source": str(folder)[:400], "created_by": user}
    model = new_version(name or folder.resolve().name, status="fetching", **known)
    if folder.resolve() != store().work(model.folder).resolve():
        publish(folder, model, shutil.copyfile)
    else:
        store().save(model.folder)
    ModelVersion.objects.filter(pk=model.pk).update(status="ready", **facts)
    model.refresh_from_db()
    return model


def queue_folder(folder: Path | str, name: str = "", user=None, project: Project | None = None) -> ModelVersion:
    """The same by a worker, for a page that must not wait: refused at once is what a glance at the folder refuses."""
    folder = Path(folder).expanduser().absolute()
    seen = glance(folder) | {"makes": kind_of_model(folder)}
    if len(str(folder)) > 400:
        raise BadModel("The folder's path is longer than 400 characters; give it a shorter one.")
    known = {"source": str(folder), "created_by": user, "project": project} | seen
    model = new_version(name or folder.resolve().name, status="copying", **known)
    wake.on_commit("training.tasks.fetch_model", model.pk)
    return model


def register_hub(
    hub_id: str, name: str = "", makes: str = "policy", user=None, project: Project | None = None
) -> ModelVersion:
    """A model of the Hugging Face hub, `owner/name` or `owner/name@revision`; a worker fetches it."""
    hub_id = hub_id.strip()
    if not HUB_ID.fullmatch(hub_id):
        raise BadModel(f"{hub_id!r} is no hub id; write owner/name, as in HuggingFaceTB/SmolLM2-135M-Instruct.")
    name = name or hub_id.partition("@")[0].rpartition("/")[2]
    model = new_version(name, status="fetching", source=hub_id, makes=makes, created_by=user, project=project)
    wake.on_commit("training.tasks.fetch_model", model.pk)
    return model


def register_endpoint(
    url: str, name: str, endpoint_model: str, key_env: str = "", user=None, project: Project | None = None
) -> ModelVersion:
    """A model someone else serves. `key_env` names the variable that holds its key; the key itself is never kept."""
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise BadModel(f"{url!r} is not the base URL of an endpoint; write it as https://host/v1, without a password.")
    if key_env and not KEY_NAME.fullmatch(key_env):
        raise BadModel(f"{key_env!r}: the variable with the key must be named like OPENAI_API_KEY, ending in _API_KEY.")
    if not endpoint_model.strip():
        raise BadModel("Name the model the endpoint should answer with, as its /v1/models lists it.")
    known = {"endpoint_model": endpoint_model.strip(), "endpoint_key_env": key_env, "created_by": user}
    return new_version(name or endpoint_model, endpoint=url.strip().rstrip("/"), project=project, **known)


def new_version(name: str, **fields: Any) -> ModelVersion:
    """The next version of `name`; two people at once get two."""
    name = name.strip()[:100] or "model"
    for _ in range(100):
        last = ModelVersion.objects.filter(name=name).order_by("-version").values_list("version", flat=True).first()
        version = (last or 0) + 1
        slug = f"{slugify(name)[:100] or 'model'}-v{version}"
        if ModelVersion.objects.filter(slug=slug).exists():  # another name, spelled almost alike
            slug = f"{slug}-{uuid.uuid4().hex[:4]}"
        try:
            with transaction.atomic():
                return ModelVersion.objects.create(name=name, version=version, slug=slug, **fields)
        except IntegrityError:
            continue
    raise BadModel(f"No free version of {name!r} could be found; try another name.")


def publish(folder: Path, model: ModelVersion, copy) -> None:
    """Make `folder` the model's folder in the store, whole or not at all. Links inside it are followed."""
    target = store().work(model.folder)
    partial = target.with_name(f".{target.name}-{uuid.uuid4().hex[:8]}")
    shutil.copytree(folder, partial, copy_function=lambda source, to: copy(Path(source).resolve(), to))
    remove(target)
    partial.rename(target)
    store().save(model.folder)


def kind_of_model(folder: Path) -> str:
    """What config.json says it makes; an outcome is known by the step separator it was trained with."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        architecture = (config.get("architectures") or [""])[0]
        if "TokenClassification" in architecture:
            return "process_reward_model"
        if "SequenceClassification" in architecture:
            return "outcome_reward_model" if config.get("step_separator") else "reward_model"
        return "policy"
    except (ValueError, LookupError, TypeError, AttributeError):
        raise BadModel(f"{folder / 'config.json'} is no model's configuration; was its download cut off?") from None


def describe(folder: Path) -> dict[str, Any]:
    """sha256 of the weights, parameters and bytes. Raises BadModel unless it is a whole safetensors model."""
    seen, digest = glance(folder), hashlib.sha256()
    for path in weights_in(folder):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return {"sha256": digest.hexdigest()} | seen


def glance(folder: Path) -> dict[str, Any]:
    """Parameters and bytes, from names, sizes and headers alone. Raises BadModel as `describe` does."""
    weights = weights_in(folder)
    return {"parameters": sum(map(parameters, weights)), "bytes": sum(path.stat().st_size for path in files_in(folder))}


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def weights_in(folder: Path) -> list[Path]:
    if not (folder / "config.json").is_file():
        raise BadModel(f"{folder} holds no config.json, so it is no model folder.")
    if not (folder / "tokenizer.json").is_file() and not (folder / "tokenizer.model").is_file():
        raise BadModel(f"{folder} holds no tokenizer (tokenizer.json).")
    weights = sorted(folder.glob("*.safetensors"))
    if not weights or all(path.name.startswith("adapter") for path in weights):
        what = "only an adapter: merge it into its base model first" if weights else "no *.safetensors weights"
        raise BadModel(f"{folder} holds {what}. Pickle files (.bin, .pt) are not loaded, because they can run code.")
    return weights


def parameters(path: Path) -> int:
    """Numbers in a safetensors file, from its header: 8 bytes of length, then JSON."""
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(min(int.from_bytes(file.read(8), "little"), 100_000_000)))
        return sum(prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise BadModel(f"{path.name} is not a readable safetensors file; was its download cut off?") from None
