"""How a training's process is started: the command line for a recipe in a run directory.

An executor is written `name` or `name:number`, as in `accelerate:4`. A new one is a function and a line in EXECUTORS.
"""

import sys
from collections.abc import Callable
from pathlib import Path

Command = list[str]


def local(module: str, run_dir: Path, device: str, processes: int | None) -> Command:
    """This interpreter, one process, one device."""
    return [sys.executable, "-m", module, str(run_dir)]


def accelerate(module: str, run_dir: Path, device: str, processes: int | None) -> Command:
    """Several processes: `accelerate:N` on this machine; without a number, as `accelerate config` was told to."""
    options = []
    if processes:
        options = ["--num_processes", str(processes), "--num_machines", "1", "--mixed_precision", "no"]
        options += ["--dynamo_backend", "no", "--main_process_port", "0"]
    if processes and processes > 1:
        options += ["--multi_gpu"]  # starts them on a CPU too; with --cpu it would start one
    return [sys.executable, "-m", "accelerate.commands.launch", *options, "--module", module, str(run_dir)]


EXECUTORS: dict[str, Callable[[str, Path, str, int | None], Command]] = {"local": local, "accelerate": accelerate}


def parse(executor: str) -> tuple[str, int | None]:
    """Split `accelerate:4` into its name and number. Raises ValueError with what may be written instead."""
    name, _, number = executor.partition(":")
    if name not in EXECUTORS:
        raise ValueError(f"There is no executor {name!r}; choose one of {', '.join(EXECUTORS)}.")
    if number and not (number.isdecimal() and 1 <= int(number) <= 1024):
        raise ValueError(f"executor {executor!r}: write a number of processes behind the colon, as in accelerate:2.")
    return name, int(number) if number else None


def command(executor: str, module: str, run_dir: Path, device: str) -> Command:
    name, processes = parse(executor)
    return EXECUTORS[name](module, run_dir, device, processes)
