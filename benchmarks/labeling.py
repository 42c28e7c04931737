"""16 labelers on the ranking page: next and submit over HTTP, real logins, a real uvicorn; is the overlap exact?

`labeling_steps` is the same on the step page.

python -m benchmarks labeling                              # SQLite
DATABASE_URL=postgres://… python -m benchmarks labeling    # a database of its own beside that one
BENCH_PROMPTS=1000000 BENCH_SECONDS=60 BENCH_WORKERS=2 python -m benchmarks labeling
"""

import http.client
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread
from urllib.parse import urlencode, urlsplit

PROMPTS = int(os.environ.get("BENCH_PROMPTS", 10_000))
SECONDS = float(os.environ.get("BENCH_SECONDS", 30))
LABELERS = int(os.environ.get("BENCH_LABELERS", 16))
WORKERS = int(os.environ.get("BENCH_WORKERS", 1))
WANTED, WORDS, PASSWORD = 2, 120, "a long password"
WARM_UP = 3  # seconds of work before the clock starts


@dataclass(frozen=True)
class Kind:
    """What is labeled: its page, the fields a card is read from, what a labeler sends back, how answers are seeded."""

    name: str
    page: str
    fields: tuple[str, ...]
    said: Callable[[dict], dict]
    answers: Callable[[object, int, str], None]
    proposals: tuple[str, ...] = ()


def main(kind: Kind | None = None) -> None:
    kind = kind or RANKING
    with tempfile.TemporaryDirectory() as home, database_of_its_own():
        os.environ |= {"STUDIO_HOME": home, "DJANGO_SETTINGS_MODULE": "studio.settings"}
        seeding, project = seed(kind)
        with serving() as port:
            people = [Labeler(port, f"labeler{n}", project.slug, kind) for n in range(LABELERS)]
            before = web_use()
            seconds = work(people)
            after = web_use()
        labels = sum(len(person.times["submit"]) for person in people)
        figures = measured(people, seconds) | {"overlap_exact": overlap_is_exact(project)}
        figures |= {"web_cpu_ms_per_label": round(1000 * (after["cpu"] - before["cpu"]) / labels, 1)}
        figures |= {"web_mb": round(after["mb"])}
        setting = {"prompts": PROMPTS, "labelers": LABELERS, "workers": WORKERS, "seed_s": round(seeding, 1)}
        print(json.dumps({"benchmark": kind.name, **setting, **figures}))
        close_connections()


# ---- the studio: a database with prompts, and a web process ----


@contextmanager
def database_of_its_own():
    """On PostgreSQL a fresh database, dropped afterwards; SQLite lives in the benchmark's STUDIO_HOME."""
    url = os.environ.get("DATABASE_URL", "")
    if not url.startswith("postgres"):
        os.environ.pop("DATABASE_URL", None)
        yield
        return
    import psycopg

    name = f"bench_labeling_{os.getpid()}"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        os.environ["DATABASE_URL"] = urlsplit(url)._replace(path=f"/{name}").geturl()
        try:
            yield
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def seed(kind: Kind):
    """People, and prompts with what is labeled of them, by a few statements: a million of them in about a minute."""
    import django

    django.setup()
    from django.contrib.auth.hashers import make_password
    from django.core.management import call_command
    from django.db import connection

    from annotation.models import Membership, Project
    from studio.models import User

    began = time.perf_counter()
    call_command("migrate", verbosity=0)
    of_kind = {"kind": "steps" if kind.page == "steps" else "ranking", "proposals": list(kind.proposals)}
    project = Project.objects.create(name="Benchmark", labels_wanted=WANTED, prompt_count=PROMPTS, **of_kind)
    password = make_password(PASSWORD)
    people = User.objects.bulk_create(User(username=f"labeler{n}", password=password) for n in range(LABELERS))
    Membership.objects.bulk_create(Membership(project=project, user=user) for user in people)
    json_type = "jsonb" if connection.vendor == "postgresql" else "text"
    with connection.cursor() as cursor:
        cursor.execute(PROMPT_ROWS.format(json=json_type), [PROMPTS, project.pk, WANTED, WANTED])
        kind.answers(cursor, project.pk, json_type)
        cursor.execute("ANALYZE")
    connection.close()
    return time.perf_counter() - began, project


PROMPT_ROWS = """
INSERT INTO annotation_prompt (project_id, messages, text, reference, metadata, origin, fingerprint, labels_wanted,
                               open_slots, labels_given, created)
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %s)
SELECT %s, CAST('[{{"role": "user", "content": "Question ' || i || '"}}]' AS {json}), 'Question ' || i, '',
       CAST('{{}}' AS {json}), 'import', CAST(i AS varchar(64)), %s, %s, 0, CURRENT_TIMESTAMP FROM n
"""
COMPLETION_ROWS = """
INSERT INTO annotation_completion (prompt_id, text, source, metadata, fingerprint)
SELECT id, %s || ' ' || id, 'benchmark', CAST('{{}}' AS {json}), %s || id FROM annotation_prompt WHERE project_id = %s
"""


def two_completions(cursor, project: int, json_type: str) -> None:
    for n in range(2):
        text = " ".join(f"word{(n + 1) * word % 97}" for word in range(WORDS))
        cursor.execute(COMPLETION_ROWS.format(json=json_type), [text, f"{n}-", project])


def best_is_first(card: dict) -> dict:
    return card | {"best": card["shown"].split(",")[0]}


RANKING = Kind("labeling", "rank", ("key", "prompt", "shown"), best_is_first, two_completions)


@contextmanager
def serving():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "studio.asgi:application", "--port", str(port), "--log-level", "error"]
    command += ["--workers", str(WORKERS)] if WORKERS > 1 else []
    web = subprocess.Popen(command, env=os.environ | {"PYTHONWARNINGS": "ignore"}, start_new_session=True)
    try:
        wait_for(port, web)
        yield port
    finally:
        os.killpg(web.pid, signal.SIGTERM)
        web.wait(20)


def wait_for(port: int, web: subprocess.Popen) -> None:
    for _ in range(600):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
        if web.poll() is not None:
            raise SystemExit("The web process ended before it answered.")
    raise SystemExit("The web process does not answer.")


def web_use() -> dict[str, float]:
    """CPU seconds of the web processes so far, and resident MB of the largest."""
    import psutil

    processes = psutil.Process().children(recursive=True)
    memory = 0 if not processes else max(process.memory_info().rss for process in processes) / 1e6
    return {"cpu": sum(sum(process.cpu_times()[:2]) for process in processes), "mb": memory}


# ---- the labelers: one thread and one connection each, doing what the page's script does ----


class Labeler(Thread):
    def __init__(self, port: int, name: str, slug: str, kind: Kind):
        super().__init__(daemon=True)
        self.name, self.kind, self.page = name, kind, f"/projects/{slug}/{kind.page}/"
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.cookies: dict[str, str] = {}
        self.times: dict[str, list[tuple[float, float]]] = {"next": [], "submit": []}
        self.errors: list[str] = []
        self.until = float("inf")
        self.log_in()

    def request(self, method: str, path: str, fields: dict | None = None, accept: str = "text/html") -> tuple[int, str]:
        headers = {"Cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items()), "Accept": accept}
        if fields is not None:
            headers |= {"Content-Type": "application/x-www-form-urlencoded"}
            headers |= {"X-CSRFToken": self.cookies.get("csrftoken", "")}
        self.connection.request(method, path, urlencode(fields) if fields is not None else None, headers)
        response = self.connection.getresponse()
        body = response.read().decode()
        for cookie in response.headers.get_all("Set-Cookie") or []:
            name, value = cookie.split(";")[0].split("=", 1)
            self.cookies[name] = value
        return response.status, body

    def log_in(self) -> None:
        self.request("GET", "/accounts/login/")
        status, _body = self.request("POST", "/accounts/login/", {"login": self.name, "password": PASSWORD})
        if status != 302:
            raise SystemExit(f"{self.name} could not log in: {status}")

    def run(self) -> None:
        try:
            self.connection.close()  # the server may have closed it while the others logged in
            card = self.card(self.request("GET", self.page))
            while card and time.perf_counter() < self.until:
                following = self.card(self.timed("next", "GET", f"{self.page}next/?besides={card['prompt']}"))
                said = self.kind.said(card)
                status, body = self.timed("submit", "POST", f"{self.page}submit/", said, "application/json")
                if status != 200 or json.loads(body)["again"]:
                    self.errors.append(f"submit {status}: {body[:200]}")
                card = following
        except Exception as error:  # noqa: BLE001 - counted, and shown in the figures
            self.errors.append(repr(error))

    def timed(self, kind: str, *request) -> tuple[int, str]:
        began = time.perf_counter()
        answer = self.request(*request)
        self.times[kind].append((began, time.perf_counter() - began))
        return answer

    def card(self, answer: tuple[int, str]) -> dict | None:
        status, body = answer
        fields = {name: re.search(rf'name="{name}" value="([^"]+)"', body) for name in self.kind.fields}
        if status != 200 or not all(fields.values()):
            self.errors.append(f"next {status}: {body[:200]}")
            return None
        return {name: found[1] for name, found in fields.items()} | {"seconds": "4.2"}


def work(people: list[Labeler]) -> float:
    for person in people:
        person.start()
    time.sleep(WARM_UP)
    start = time.perf_counter()
    for person in people:
        person.start_at, person.until = start, start + SECONDS
    for person in people:
        person.join()
    return time.perf_counter() - start


def measured(people: list[Labeler], seconds: float) -> dict:
    figures: dict = {}
    for kind in ("next", "submit"):
        times = [took for person in people for began, took in person.times[kind] if began >= person.start_at]
        cuts = statistics.quantiles(times, n=100)
        figures[f"{kind}_ms"] = {"p50": round(1000 * cuts[49], 1), "p95": round(1000 * cuts[94], 1)}
        figures["labels"] = len(times)
    errors = [error for person in people for error in person.errors]
    figures |= {"labels_per_s": round(figures["labels"] / seconds, 1), "errors": len(errors)}
    return figures | ({"first_error": errors[0]} if errors else {})


def overlap_is_exact(project) -> bool:
    """Nobody labeled a prompt twice, no prompt got a label too many, and the slots add up."""
    from django.db.models import Count, F, Q

    from annotation.kinds import kind_of
    from annotation.models import StepLabels

    labels = kind_of(project).labels
    people = {"filter": Q(step_labels__labeler__isnull=False)} if labels is StepLabels else {}
    got = Count("step_labels" if labels is StepLabels else "rankings", distinct=True, **people)
    touched = project.prompts.exclude(labels_given=0, open_slots=WANTED)
    counted = touched.annotate(got=got, held=Count("leases", distinct=True))
    right = counted.filter(got=F("labels_given"), labels_wanted=F("open_slots") + F("held") + F("got"))
    given = labels.objects.exclude(labeler=None)
    twice = given.values("prompt", "labeler").annotate(n=Count("pk")).filter(n__gt=1)
    return touched.exists() and right.count() == touched.count() and not twice.exists()


def close_connections() -> None:
    from django.db import connection

    connection.close()
    getattr(connection, "close_pool", lambda: None)()


if __name__ == "__main__":
    main()
