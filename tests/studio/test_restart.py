"""PostgreSQL restarted under a working studio: a page that says what to do, then all goes on, and nothing is lost."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from glob import glob
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
BINARIES = sorted(glob("/usr/lib/postgresql/*/bin"))[-1:] or [os.path.dirname(shutil.which("pg_ctl") or "")]
AS_POSTGRES = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []  # the server refuses to run as root
SEED = """
import django; django.setup()
from annotation.models import Completion, Membership, Project, Prompt
from studio.models import User
bob = User.objects.create_user("bob", password="a long password")
project = Project.objects.create(name="Restart", prompt_count=20)
Membership.objects.create(project=project, user=bob)
for n in range(20):
    messages = [{"role": "user", "content": f"Question {n}"}]
    text = f"Question {n}"
    prompt = Prompt.objects.create(project=project, messages=messages, text=text, fingerprint=n, open_slots=1)
    Completion.objects.bulk_create(Completion(prompt=prompt, text=text, fingerprint=text) for text in ("Yes.", "No."))
"""

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not os.path.exists(f"{BINARIES[0]}/initdb"), reason="no PostgreSQL server is installed here"),
]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Cluster:
    """A PostgreSQL server of the test's own."""

    def __init__(self, folder: Path):
        self.folder, self.port = folder, free_port()
        folder.mkdir()
        if AS_POSTGRES:
            shutil.chown(folder, "postgres")
        self.run("initdb", "-A", "trust", "-U", "postgres", "--no-sync")

    def run(self, program: str, *arguments: str) -> None:
        command = [*AS_POSTGRES, f"{BINARIES[0]}/{program}", "-D", str(self.folder), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/", timeout=60)

    def start(self) -> None:
        log = str(self.folder / "log")
        self.run("pg_ctl", "-w", "-l", log, "-o", f"-p {self.port} -k {self.folder} -h 127.0.0.1", "start")

    def stop(self) -> None:
        self.run("pg_ctl", "-w", "-m", "immediate", "stop")

    @property
    def url(self) -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/postgres"


@pytest.fixture
def cluster():
    folder = Path("/tmp") / f"studio-restart-{os.getpid()}"
    server = Cluster(folder)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder)


@contextmanager
def web(env: dict[str, str]):
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "studio.asgi:application", "--port", str(port), "--log-level", "error"]
    process = subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            answers(lambda: client.get("/health").status_code == 200)
            yield client
    finally:
        process.terminate()
        process.wait(20)


def answers(holds, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if holds():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise AssertionError("it did not happen in time")


def card(html: str) -> dict[str, str]:
    found = {name: re.search(rf'name="{name}" value="([^"]+)"', html)[1] for name in ("key", "prompt", "shown")}
    return found | {"best": found["shown"].split(",")[0], "seconds": "4"}


def log_in(client: httpx.Client) -> None:
    client.get("/accounts/login/")
    said = {"login": "bob", "password": "a long password", "csrfmiddlewaretoken": client.cookies["csrftoken"]}
    assert client.post("/accounts/login/", data=said).status_code == 302


def submit(client: httpx.Client, said: dict[str, str]) -> httpx.Response:
    headers = {"X-CSRFToken": client.cookies["csrftoken"], "Accept": "application/json"}
    return client.post("/projects/restart/rank/submit/", data=said, headers=headers)


def test_labels_survive_a_restart_and_labeling_goes_on(cluster, tmp_path):
    env = os.environ | {"STUDIO_HOME": str(tmp_path), "DATABASE_URL": cluster.url, "CELERY_BROKER_URL": ""}
    env |= {"DJANGO_SETTINGS_MODULE": "studio.settings"}
    for command in (["-m", "studio", "migrate", "--verbosity", "0"], ["-c", SEED]):
        subprocess.run([sys.executable, *command], cwd=ROOT, env=env, check=True, timeout=120)
    with web(env) as client:
        log_in(client)
        following = client.get("/projects/restart/rank/")
        for _ in range(6):  # often enough for statements to be prepared
            said = card(following.text)
            following = client.get("/projects/restart/rank/next/", params={"besides": said["prompt"]})
            assert submit(client, said).json()["again"] is False
        cluster.stop()
        down = submit(client, card(following.text))
        assert down.status_code == 500
        page = client.get("/projects/restart/rank/")
        assert page.status_code == 500 and "What you had saved is safe" in page.text
        cluster.start()
        answers(lambda: client.get("/projects/restart/rank/").status_code == 200)
        assert submit(client, said).json()["again"] is True, "what was said before is there"
        assert submit(client, card(following.text)).json()["again"] is False, "what was refused can be sent again"
        following = client.get("/projects/restart/rank/next/", params={"besides": card(following.text)["prompt"]})
        assert submit(client, card(following.text)).status_code == 200
        assert "8</b> of 20" in client.get("/projects/restart/rank/").text
