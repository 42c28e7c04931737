"""`studio up`: four processes from one command, a login shown once, and nothing left behind."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from studio.runner import free_port
from tests.paths.studio import free_port as any_port

ROOT = Path(__file__).resolve().parents[2]
STARTS = 60  # seconds, on a machine that does other things too
PARTS = ("studio web", "celery -A studio worker -n worker-", "celery -A studio worker -n trainer-", "training.server")


class Up:
    """One `studio up --quiet` as a person would type it, with a terminal's process group of its own."""

    def __init__(self, env: dict[str, str], said: Path):
        self.said = said
        with said.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "studio", "up", "--quiet"], cwd=ROOT, env=env,
                stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self.family: set[psutil.Process] = set()

    def parts(self) -> list[str]:
        """Which of the four run, seen among all that this one started."""
        with suppress(psutil.NoSuchProcess):
            self.family |= set(psutil.Process(self.process.pid).children(recursive=True))
        lines = []
        for process in self.family:
            with suppress(psutil.NoSuchProcess):
                lines.append(" ".join(process.cmdline()))
        return [part for part in PARTS if any(part in line and "while :" not in line for line in lines)]

    def address(self) -> str:
        found = re.search(r"The studio runs at (http://127\.0\.0\.1:\d+)\n", self.said.read_text())
        return found[1] if found else ""

    def wait(self) -> str:
        """Its address, when its pages answer and all four parts run."""
        until = time.monotonic() + STARTS
        while time.monotonic() < until and self.process.poll() is None:
            with suppress(httpx.HTTPError):
                if self.address() and httpx.get(f"{self.address()}/health").is_success and self.parts() == list(PARTS):
                    return self.address()
            time.sleep(0.2)
        raise AssertionError(f"{self.parts()} of {PARTS} run; it said:\n{self.said.read_text()}")

    def interrupt(self, seconds: float = 15) -> list[str]:
        """Ctrl+C; what it started and is not gone after so long."""
        self.parts()
        until = time.monotonic() + seconds
        os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(seconds)
        while self.alive() and time.monotonic() < until:
            time.sleep(0.05)
        return self.alive()

    def alive(self) -> list[str]:
        """What it started and did not end."""
        found = []
        for process in self.family:
            with suppress(psutil.NoSuchProcess):
                if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(" ".join(process.cmdline()))
        return found

    def clear(self) -> None:
        self.parts()
        for process in [*self.family, self.process]:
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                process.kill()
        self.process.wait()


@pytest.fixture
def home(tmp_path, services):
    """What `studio up` is told by the environment: a state of its own, ports near which nothing listens."""
    with services() as (database, broker):
        yield os.environ | {
            "DJANGO_SETTINGS_MODULE": "studio.settings",
            "STUDIO_HOME": str(tmp_path / "home"),
            "DATABASE_URL": database,
            "CELERY_BROKER_URL": broker,
            "STUDIO_PORT": str(any_port()),
            "STUDIO_MODEL_SERVER_URL": f"http://127.0.0.1:{any_port()}",
            "OMP_WAIT_POLICY": "PASSIVE",
        }


@pytest.fixture
def up(home, tmp_path):
    started = []

    def up(**env: str) -> Up:
        started.append(Up(home | env, tmp_path / f"said-{len(started)}.txt"))
        return started[-1]

    yield up
    for one in started:
        one.clear()


def test_it_starts_four_processes_shows_the_login_once_and_ends_them_all(up, home, tmp_path):
    first = up()
    assert first.wait() == f"http://127.0.0.1:{home['STUDIO_PORT']}"
    password = re.findall(r"Log in as admin with the password (\S+)\n", first.said.read_text())
    assert len(password) == 1 and len(password[0]) == 16
    assert logs_in(first.address(), password[0])
    assert first.interrupt() == []
    assert first.process.returncode == 0
    assert first.said.read_text().count("\n") <= 4, first.said.read_text()
    assert {path.name for path in (tmp_path / "home" / "logs").iterdir()} == {
        "web.log", "worker.log", "trainer.log", "server.log",
    }  # fmt: skip

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(home["STUDIO_PORT"])))
        taken.listen()
        again = up()
        assert again.wait() != first.address()
        assert "password" not in again.said.read_text()
        assert again.interrupt() == []


def logs_in(address: str, password: str) -> bool:
    with httpx.Client(base_url=address, follow_redirects=True) as client:
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', client.get("/accounts/login/").text)[1]
        said = {"login": "admin", "password": password, "csrfmiddlewaretoken": token}
        answer = client.post("/accounts/login/", data=said, headers={"Referer": address})
        return answer.is_success and str(answer.url) == f"{address}/"


def test_a_port_somebody_listens_on_is_passed_over():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", any_port()))
        taken.listen()
        port = taken.getsockname()[1]
        assert port < free_port(port) < port + 100
