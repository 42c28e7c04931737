"""The rules of the house, checked: who imports whom, what a light process loads, what pages and modules hold."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("studio", "annotation", "training", "benchmarks", "tests")
HEAVY = ("torch", "transformers", "trl", "peft", "datasets", "accelerate")
MODULES = [p for name in PACKAGES for p in sorted((ROOT / name).rglob("*.py")) if p.read_text().strip()]
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
SOURCES = [*MODULES, *TEMPLATES, *sorted((ROOT / "studio" / "static" / "studio").glob("*.*s"))]
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
INLINE = {
    "an inline style": re.compile(r"\sstyle\s*=", re.I),
    "an inline handler": re.compile(r"\son[a-z]+\s*=", re.I),
    "htmx code to evaluate": re.compile(r"\s(hx-on|data-hx-on)|[\"']js:|[\"']javascript:", re.I),
    "an inline script": re.compile(r"<script(?![^>]*\ssrc=)", re.I),
    "an inline stylesheet": re.compile(r"<style", re.I),
}
# Loaded by allauth under its own names, or by Django when something goes wrong.
BY_NAME = {"403.html", "403_csrf.html", "404.html", "500.html"}


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_imports_run_one_way_and_the_torch_side_stands_alone():
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


WEB = """
import asyncio, json, sys
import studio.asgi
from django.core.management import call_command
call_command("migrate", verbosity=0)

async def ask(path):
    said = []
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
             "path": path, "raw_path": path.encode(), "query_string": b"", "headers": [(b"host", b"localhost")],
             "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80)}
    body = asyncio.Queue()
    body.put_nowait({"type": "http.request", "body": b"", "more_body": False})
    async def send(message): said.append(message)
    await studio.asgi.application(scope, body.get, send)
    return said[0]["status"]

status = asyncio.run(ask("/accounts/login/"))
"""
WORKER = """
import json, sys
from studio.celery import app
app.loader.import_default_modules()
app.finalize()
import studio.beats
status = sorted(name for name in app.tasks if not name.startswith("celery."))
"""
REPORT = """
import psutil
heavy = [name for name in %r if name in sys.modules]
print(json.dumps({"status": status, "heavy": heavy, "bytes": psutil.Process().memory_info().rss}))
"""


def loaded(code: str, home: Path) -> dict:
    """What a process has loaded, and how large it is, after running this."""
    env = os.environ | {"STUDIO_HOME": str(home), "DATABASE_URL": "", "DJANGO_SETTINGS_MODULE": "studio.settings"}
    command = [sys.executable, "-c", code + REPORT % (HEAVY,)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_web_process_answers_without_torch_in_little_memory(tmp_path):
    said = loaded(WEB, tmp_path)
    assert said["status"] == 200
    assert said["heavy"] == []
    assert said["bytes"] <= 150e6, f"{said['bytes'] / 1e6:.0f} MB"


def test_a_worker_knows_every_task_without_torch(tmp_path):
    said = loaded(WORKER, tmp_path)
    wanted = {"annotation.tasks.import_file", "annotation.tasks.freeze_dataset", "training.tasks.train"}
    assert wanted <= set(said["status"])
    assert said["heavy"] == []
    assert said["bytes"] <= 150e6, f"{said['bytes'] / 1e6:.0f} MB"


@pytest.mark.django_db
def test_every_change_of_a_model_has_its_migration():
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


def test_every_module_opens_with_one_line_that_says_what_it_is_for():
    wrong = []
    for path in MODULES:
        if "migrations" in path.parts:
            continue
        first = (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n\n")[0]
        if not first or "\n" in first.strip():
            wrong.append(short(path))
    assert wrong == []


def test_nothing_is_left_for_later():
    assert [short(path) for path in SOURCES if UNFINISHED.search(path.read_text())] == []


def without_comments(text: str) -> str:
    return re.sub(r"\{#.*?#\}|\{% comment %\}.*?\{% endcomment %\}", "", text, flags=re.S)


@pytest.mark.parametrize("what", INLINE)
def test_no_template_holds(what):
    found = [short(path) for path in TEMPLATES if INLINE[what].search(without_comments(path.read_text()))]
    assert found == [], f"{what} would need a weaker content policy"


def test_every_template_is_used_and_every_template_named_exists():
    named = {name for path in [*MODULES, *TEMPLATES] for name in re.findall(r"[\w/]+\.html", path.read_text())}
    there = {str(path.relative_to(ROOT / "templates")) for path in TEMPLATES}
    from annotation.views import rank, steps
    from training.views.jobs import TABS

    by_name = BY_NAME | {f"training/job_{tab}.html" for tab in TABS}
    by_name |= {f"annotation/{page.turns}{end}.html" for page in (rank.PAGE, steps.PAGE) for end in ("", "_card")}
    unused = {name for name in there - named - by_name if not from_allauth(name)}
    assert unused == set()
    assert by_name <= there


def from_allauth(name: str) -> bool:
    """Whether this replaces a page of allauth's."""
    import allauth

    return (Path(allauth.__file__).parent / "templates" / name).exists()


def test_every_static_file_a_page_asks_for_is_there():
    from django.contrib.staticfiles import finders

    asked = {name for path in TEMPLATES for name in re.findall(r"\{% static '([^']+)' %\}", path.read_text())}
    assert [name for name in sorted(asked) if not finders.find(name)] == []


def test_every_own_static_file_is_loaded_by_a_page_or_a_script():
    folder = ROOT / "studio" / "static" / "studio"
    text = "".join(path.read_text() for path in [*TEMPLATES, *folder.glob("*.js"), *folder.glob("*.css"), *MODULES])
    assert [path.name for path in folder.iterdir() if path.is_file() and path.name not in text] == []
