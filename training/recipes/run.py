"""A recipe's side of the run directory: config in; metrics, samples and a result out; failures told apart."""

import errno
import json
import math
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from training.recipes import machine
from training.recipes.config import BadConfig, read
from training.recipes.rows import BadData

ADVICE = {
    "out_of_memory": "Halve per_device_train_batch_size and double gradient_accumulation_steps, lower max_length, "
    "switch lora on, or set gradient_checkpointing to on.",
    "disk_full": "Free space on the disk that holds the run; with lora on, checkpoints are far smaller.",
    "bad_config": "Correct the setting named in the message and start again.",
    "bad_data": "Correct the rows named in the message, freeze the dataset again and start again.",
    "reward_failed": "Correct the reward named in the message, see that the service it asks answers, or take it off "
    "the list, and resume.",
    "diverged": "Lower learning_rate to a tenth, raise warmup_ratio, or set precision to fp32.",
    "crash": "The end of log.txt says where it happened.",
}


class Diverged(ArithmeticError):
    """The loss is not a number any more."""


class Run:
    """One training in its directory. Only the main process of several writes."""

    def __init__(self, run_dir: Path, config: Any) -> None:
        self.dir, self.config = Path(run_dir), config
        said = read_config(self.dir)
        self.recipe, self.base_model, self.ref_model = said["recipe"], said["base_model"], said.get("ref_model")
        self.device, self.versions = said.get("device", "auto"), said.get("versions", {})
        self.models = said.get("models", {})  # folders of the models that reward, by name
        self.main = machine.is_main_process()
        self.started = time.time()
        for name in ("metrics.jsonl", "samples.jsonl", "rollouts.jsonl") if self.main else ():
            close_torn_line(self.dir / name)

    @property
    def checkpoints(self) -> Path:
        return self.dir / "checkpoints"

    def append(self, name: str, record: dict[str, Any]) -> None:
        if self.main:
            with (self.dir / name).open("a", encoding="utf-8") as file:
                file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")

    def metrics(self, step: int, total: int, eta: float | None, values: dict[str, Any]) -> None:
        line = {"step": step, "total": total, "time": time.time(), "eta": eta, "values": numbers(values)}
        self.append("metrics.jsonl", line)
        shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items() if name in SHOWN or "eval" in name)
        if self.main:
            print(f"step {step}/{total}  {shown}", flush=True)

    def result(self, status: str, **fields: Any) -> None:
        if self.main:
            known = {"step": 0, "total": 0, "metrics": {}, "tokens": 0, "device": "", "error": None}
            seconds, peak = time.time() - self.started, machine.peak_memory("cpu")
            write_json(
                self.dir / "result.json", {"status": status, "seconds": seconds, "peak_memory": peak} | known | fields
            )


SHOWN = {"loss", "accuracy", "margin", "rewards/accuracies", "rewards/margins", "mean_token_accuracy", "learning_rate"}
SHOWN |= {"reward", "objective/kl"}


def read_config(run_dir: Path) -> dict[str, Any]:
    try:
        said = json.loads((run_dir / "config.json").read_text())
    except FileNotFoundError:
        raise BadConfig(f"{run_dir / 'config.json'} is missing") from None
    except ValueError as error:
        raise BadConfig(f"config.json is not JSON: {error}") from None
    if not isinstance(said, dict) or not isinstance(said.get("base_model"), str) or not said["base_model"]:
        raise BadConfig("config.json must name a base_model: a folder or a hub id")
    if said.get("device", "auto") not in {"auto", "cpu", "cuda"}:
        raise BadConfig(f"device must be auto, cpu or cuda, not {said['device']!r}")
    return {"recipe": "", "settings": {}} | said


def close_torn_line(path: Path) -> None:
    """A kill may have left half a line; the next record must not be glued to it."""
    if not path.exists() or not path.stat().st_size:
        return
    with path.open("rb+") as file:
        file.seek(-1, os.SEEK_END)
        if file.read() != b"\n":
            file.write(b"\n")


def numbers(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: write the word."""
    words = {math.inf: "Infinity", -math.inf: "-Infinity"}
    return {name: "NaN" if value != value else words.get(value, value) for name, value in values.items()}


def write_json(path: Path, value: Any) -> None:
    """Whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


class Stop:
    """SIGTERM asks: finish the step, save, end well. Before the first step there is nothing to save: end at once."""

    asked = loading = False

    @classmethod
    def listen(cls, run_dir: Path, started: float) -> None:
        def asked(*_: Any) -> None:
            cls.asked = True
            # One of several processes must not leave the others waiting for it: they agree after the first step.
            if cls.loading and machine.world_size() == 1:
                print("asked to stop before the first step; there is nothing to save", flush=True)
                outcome(run_dir, "stopped", time.time() - started)
                os._exit(0)  # an exception could end up in some library's hands

        cls.loading = True
        signal.signal(signal.SIGTERM, asked)

    @classmethod
    def first_step(cls) -> None:
        """From here on there is something to save."""
        cls.loading = False


def main(config_class: type, problems: Callable[[Any], list[str]], train: Callable[[Any, Path], None]) -> None:
    """`python -m training.recipes.NAME RUN_DIR`: exit 0 with a result, or 1 with a failure that says what to try."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m training.recipes.NAME RUN_DIR")
    machine.without_thread_cache()
    run_dir, started = Path(sys.argv[1]).resolve(), time.time()
    Stop.listen(run_dir, started)
    try:
        if machine.is_main_process():
            (run_dir / "result.json").unlink(missing_ok=True)
        said = read_config(run_dir)
        config = read(config_class, said["settings"])
        if wrong := problems(config):
            raise BadConfig("; ".join(wrong))
        machine.prepare(said["base_model"], said.get("device", "auto"))
        train(config, run_dir)
    except (Exception, KeyboardInterrupt) as error:
        traceback.print_exc()
        fail(run_dir, error, time.time() - started)
        sys.exit(1)


def fail(run_dir: Path, error: BaseException, seconds: float) -> None:
    if not machine.is_main_process() or not run_dir.is_dir():
        return
    for partial in (run_dir / "checkpoints" / ".partial", run_dir / "model.partial"):
        shutil.rmtree(partial, ignore_errors=True)  # also makes room for the result on a full disk
    outcome(run_dir, "failed", seconds, explain(error))


def outcome(run_dir: Path, status: str, seconds: float, error: dict[str, str] | None = None) -> None:
    """result.json of a training that left no model."""
    last = last_metrics(run_dir)
    known = {"step": last.get("step", 0), "total": last.get("total", 0), "metrics": last.get("values", {})}
    peak = {"tokens": 0, "seconds": seconds, "peak_memory": machine.peak_memory("cpu"), "device": ""}
    write_json(run_dir / "result.json", {"status": status} | known | peak | {"error": error})


def last_metrics(run_dir: Path) -> dict[str, Any]:
    path = run_dir / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for line in reversed(lines):
        try:
            return json.loads(line)
        except ValueError:
            continue  # torn by a kill
    return {}


def explain(error: BaseException) -> dict[str, str]:
    """The failure's class, its message in one line, and what to try."""
    kind = classify(error)
    message = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if kind == "crash" and not isinstance(error, Diverged):
        message = f"{type(error).__name__}: {message}"
    return {"class": kind, "message": message, "advice": ADVICE["diverged" if isinstance(error, Diverged) else kind]}


NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # the disk, a quota on it, a limit on the size of a file


def classify(error: BaseException) -> str:
    if isinstance(error, BadConfig):
        return "bad_config"
    if isinstance(error, BadData):
        return "bad_data"
    if type(error).__name__ in ("RewardFailed", "NoSandbox"):
        return "reward_failed"
    text = f"{type(error).__name__} {error}".lower()
    if getattr(error, "errno", None) in NO_ROOM or "no space left" in text or "os error 28" in text:
        return "disk_full"
    if isinstance(error, MemoryError) or any(
        sign in text for sign in ("outofmemory", "out of memory", "can't allocate memory", "not enough memory")
    ):
        return "out_of_memory"
    cause = error.__cause__ or error.__context__
    return classify(cause) if cause is not None else "crash"
