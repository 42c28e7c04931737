"""A training's process: whether it lives, how to ask it to save, how to end it. Ours or an earlier worker's."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil

from training import hosts


class Child:
    """`process` is known to the worker that started it; one that re-attaches knows the pid and when it began."""

    def __init__(self, pid: int, since: float, run_dir: Path, process: subprocess.Popen | None = None):
        self.pid, self.since, self.run_dir, self.process = pid, since, run_dir, process

    @classmethod
    def of(cls, process: subprocess.Popen, run_dir: Path) -> "Child":
        return cls(process.pid, hosts.started(process.pid), run_dir, process)

    @classmethod
    def find(cls, run_dir: Path) -> "Child | None":
        """The process that trains in `run_dir`, whoever started it."""
        for process in hosts.trainings_in(run_dir):
            return cls(process.pid, process.info["create_time"], run_dir)
        return None

    @property
    def code(self) -> int | None:
        """Exit status, negative for a signal; None while it lives, and when another process was its parent."""
        return self.process.poll() if self.process else None

    def alive(self) -> bool:
        if self.process:
            return self.process.poll() is None
        return hosts.alive(self.pid, self.since)

    def ask_to_save(self) -> None:
        """SIGTERM to the processes that train. A launcher would kill them half a minute later, so it hears nothing."""
        for process in self.workers():
            with suppress(psutil.Error):
                process.terminate()

    def workers(self) -> list[psutil.Process]:
        with suppress(psutil.Error):
            below = psutil.Process(self.pid).children(recursive=True)
            training = [p for p in below if trains_in(p, self.run_dir)]
            return training or [psutil.Process(self.pid)]
        return []

    def kill(self) -> None:
        """End it and everything it started, now."""
        if self.alive():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        self.wait(10)

    def wait(self, seconds: float) -> bool:
        """Whether it ended within that time."""
        until = time.monotonic() + seconds
        while self.alive() and time.monotonic() < until:
            time.sleep(0.1)
        return not self.alive()


def trains_in(process: psutil.Process, run_dir: Path) -> bool:
    with suppress(psutil.Error):
        return process.cmdline()[-1:] == [str(run_dir)]
    return False
