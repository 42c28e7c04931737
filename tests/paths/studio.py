"""A whole studio in processes of its own, as a person meets it: web, worker, trainer and model server."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]


class Studio:
    """Its state is in `home` alone; its database and broker are of the kind this run of the tests uses."""

    def __init__(self, home: Path, logs: Path, database: str, broker: str):
        self.logs, self.processes = logs, {}
        port, server = free_port(), free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.env = os.environ | {
            "DJANGO_SETTINGS_MODULE": "studio.settings",
            "STUDIO_HOME": str(home),
            "DATABASE_URL": database,
            "CELERY_BROKER_URL": broker,
            "STUDIO_PORT": str(port),
            "STUDIO_MODEL_SERVER_URL": f"http://127.0.0.1:{server}",
            "PYTHONUNBUFFERED": "1",
            "OMP_WAIT_POLICY": "PASSIVE",
        }

    def run(self, *words: str) -> str:
        """One verb, to its end."""
        done = subprocess.run(command(*words), cwd=ROOT, env=self.env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, *verbs: str) -> None:
        for verb in verbs:
            with (self.logs / f"{verb}.log").open("ab") as log:
                self.processes[verb] = subprocess.Popen(
                    command(verb), cwd=ROOT, env=self.env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
                )

    def wait_until_it_answers(self, seconds: float = 60) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            assert self.processes["web"].poll() is None, self.told()
            with suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/health").is_success:
                    return
            time.sleep(0.1)
        raise AssertionError(f"the web process did not answer in {seconds} s\n{self.told()}")

    def stop(self) -> None:
        for process in self.processes.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def told(self, lines: int = 25) -> str:
        """The last lines of every process's log."""
        parts = []
        for log in sorted(self.logs.glob("*.log")):
            parts += [f"--- {log.name}", *log.read_text(errors="replace").splitlines()[-lines:]]
        return "\n".join(parts)


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "studio", *words]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def whole_studio(folder: Path, services):
    """A studio that is migrated and empty; `start` its processes. All of them are gone in the end."""
    logs = folder / "logs"
    logs.mkdir(parents=True)
    with services() as (database, broker):
        studio = Studio(folder / "home", logs, database, broker)
        try:
            studio.run("migrate", "--verbosity", "0")
            yield studio
        finally:
            studio.stop()
