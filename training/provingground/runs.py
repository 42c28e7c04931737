"""Train by a recipe of the studio, through a run directory as any job does, and wait for the model."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from training.recipes import RECIPES

Say = Callable[[str], None]


class TrainingFailed(RuntimeError):
    """The recipe ended without a model; the message says why and where its log is."""


def train(
    recipe: str,
    run_dir: Path,
    base: Path,
    rows: Iterable[dict],
    held_out: Iterable[dict],
    say: Say,
    models: dict[str, str] | None = None,
    **settings: Any,
) -> Path:
    """The folder of the model that `recipe` makes of these rows. One that is there already is not trained again."""
    if (run_dir / "result.json").exists() and (run_dir / "model").is_dir():
        return run_dir / "model"
    shutil.rmtree(run_dir, ignore_errors=True)
    write_rows(run_dir / "dataset" / "train.jsonl", rows)
    write_rows(run_dir / "dataset" / "eval.jsonl", held_out)
    config = {"recipe": recipe, "base_model": str(base.resolve()), "device": "auto", "settings": settings}
    config |= {"models": models or {}}  # folders of the reward models that settings name
    (run_dir / "config.json").write_text(json.dumps(config, indent=1))
    code = follow([sys.executable, "-m", RECIPES[recipe], str(run_dir)], run_dir / "log.txt", say)
    result = json.loads((run_dir / "result.json").read_text()) if (run_dir / "result.json").exists() else {}
    if code or result.get("status") != "succeeded":
        error = result.get("error") or {"message": f"exit code {code}", "advice": ""}
        raise TrainingFailed(f"{recipe} in {run_dir}: {error['message']}. {error['advice']} Its log is log.txt there.")
    return run_dir / "model"


def follow(command: list[str], log: Path, say: Say) -> int:
    """Run a command, keep what it prints, and pass its steps on."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with (
        log.open("w") as file,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        ) as process,
    ):
        for line in process.stdout or ():
            file.write(line)
            if line.startswith("step "):
                say(line.strip())
        return process.wait()


def write_rows(path: Path, rows: Iterable[dict]) -> None:
    """JSON lines: whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    partial.replace(path)


def read_rows(path: Path) -> list[dict]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]
