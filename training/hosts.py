"""This machine as jobs remember it: its place, its device, and which processes on it are still the ones we started."""

import os
import platform
import socket
import subprocess
import uuid
from contextlib import suppress
from pathlib import Path

import psutil
from django.conf import settings

from training.recipes.machine import cores

SAME_START = 2.0  # seconds; the kernel's boot time, from which start times are counted, is not exact


def machine() -> str:
    """One STUDIO_HOME on one machine: who shares it sees the same processes and the same run directories."""
    return f"{socket.gethostname()}:{settings.HOME}"[:160]


def place() -> str:
    """A device of this machine: one training at a time runs in one place."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return f"{machine()}#{visible}"[:200]


def identity() -> str:
    """A new name for one follower of a job, which says in which process it lives."""
    pid = os.getpid()
    return f"{socket.gethostname()[:80]}/{pid}/{started(pid):.0f}/{uuid.uuid4().hex[:8]}"


def started(pid: int) -> float:
    return psutil.Process(pid).create_time()


def alive(pid: int | None, since: float | None) -> bool:
    """Whether `pid` is still the process that started at `since`; a zombie is not."""
    if pid is None or since is None:
        return False
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return abs(process.create_time() - since) < SAME_START and process.status() != psutil.STATUS_ZOMBIE
    return False


def follower_alive(worker: str) -> bool:
    """Whether the process named by an `identity` of this machine still runs."""
    parts = worker.split("/")
    return len(parts) == 4 and alive(int(parts[1]), float(parts[2]))


def trainings_in(run_dir: Path) -> list[psutil.Process]:
    """Processes that train in `run_dir`, found by their command line: the oldest first, launchers included."""
    found = []
    for process in psutil.process_iter(["cmdline", "create_time", "status"]):
        line = process.info["cmdline"] or []
        if line and line[-1] == str(run_dir) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return sorted(found, key=lambda process: process.info["create_time"])


def device_name() -> str:
    """What trainings run on here, in words, found without torch."""
    if settings.DEVICE != "cpu":
        with suppress(OSError, subprocess.SubprocessError):
            ask = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
            names = subprocess.run(ask, capture_output=True, text=True, timeout=10, check=True).stdout.split("\n")
            if names := [name.strip() for name in names if name.strip()]:
                return f"{len(names)} × {names[0]}" if len(names) > 1 else names[0]
    return f"{processor()}, {cores()} cores"


def processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
