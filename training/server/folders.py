"""Models as folders on disk: which there are, which may be asked for, and how large they are."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from training.server.protocol import ApiError

TASKS = {
    "ForSequenceClassification": "score",
    "ForTokenClassification": "steps",
    "ForCausalLM": "chat",
    "LMHeadModel": "chat",
}
SCORING = ("score", "steps", "outcome")
DEEPEST = 6  # folders below the root that are looked through for models


@dataclass(frozen=True)
class Options:
    """What the operator decides; `python -m training.server --help` lists it."""

    models: Path
    allowed: tuple[Path, ...] = ()  # further folders whose models may be named by absolute path
    device: str = "cpu"
    dtype: str = "float32"
    score_dtype: str = "float32"  # of reward models, whose scores are compared to the last digit
    memory: int = 8 << 30  # bytes of weights held at once
    rows: int = 16  # completions of one model decoded together
    room: int = 1 << 30  # bytes of keys and values that one model's rollouts may take
    queue: int = 64  # requests that may wait for one model
    max_tokens: int = 1024  # where a request does not say

    as_stored: bool = False  # serve float32 weights in float32: a short training moves them less than bfloat16 tells

    def dtype_of(self, folder: Path) -> str:
        if task_of(folder) in SCORING:
            return self.score_dtype
        return "float32" if self.as_stored and config_of(folder).get("dtype") == "float32" else self.dtype


def find(name: str, options: Options) -> Path:
    """The folder a model's name stands for. Nothing outside the allowed folders exists for the caller."""
    unknown = ApiError(404, f"there is no model {name!r}; GET /v1/models lists them", "model_not_found", "model")
    if "\0" in name or ".." in Path(name).parts:
        raise unknown
    try:
        folder = (options.models / name).resolve()  # an absolute name replaces the root
        if not any(folder.is_relative_to(root) for root in (options.models, *options.allowed)) or not folder.is_dir():
            raise unknown
        if not is_model(folder):
            raise unsafe(name, folder) or unknown
    except OSError:
        raise unknown from None
    return folder


def unsafe(name: str, folder: Path) -> ApiError | None:
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt")):
        message = f"{name} has no safetensors weights; other formats can run code when they are loaded"
        return ApiError(400, message, "not_safetensors", "model")
    return None


def is_model(folder: Path) -> bool:
    return (folder / "config.json").is_file() and any(folder.glob("*.safetensors"))


def stamp_of(folder: Path) -> tuple:
    """Changes when the folder's files do."""
    stamps = []
    for file in folder.glob("*.*"):
        with suppress(FileNotFoundError):  # it may be on its way out
            stamps.append((file.name, file.stat().st_mtime_ns, file.stat().st_size))
    return tuple(sorted(stamps))


def models_under(root: Path, options: Options, depth: int = DEEPEST) -> Iterator[Path]:
    """Every model folder below root, in order of name. A model's own folder is not looked into."""
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if folder.name.startswith(".") or not folder.is_dir():
            continue
        if not any(folder.resolve().is_relative_to(top) for top in (options.models, *options.allowed)):
            continue
        if is_model(folder):
            yield folder
        elif depth > 1 and not folder.is_symlink():
            yield from models_under(folder, options, depth - 1)


def task_of(folder: Path) -> str | None:
    """What a folder's model can do: chat, score chats, steps or outcomes, or nothing that is served here."""
    config = config_of(folder)
    architecture = str((config.get("architectures") or [""])[0])
    task = next((task for ending, task in TASKS.items() if architecture.endswith(ending)), None)
    return "outcome" if task == "score" and config.get("step_separator") else task


def config_of(folder: Path) -> dict:
    """What config.json says; nothing where it is not one."""
    try:
        config = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def weights(folder: Path, options: Options) -> int:
    """Bytes the weights take once loaded, from the headers of the safetensors files."""
    width = 4 if options.dtype_of(folder) == "float32" else 2
    return sum(elements(file) for file in folder.glob("*.safetensors")) * width


def elements(file: Path) -> int:
    with file.open("rb") as stream:
        (size,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(min(size, 100 << 20)))
    return sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
