"""Bad input and faults: hostile text everywhere, other people's ids, what is sent twice, what is away."""

import json
import os
import re
import subprocess
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path

import pytest
from celery import Celery
from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connection, models, transaction
from django.test import Client
from django.urls import URLResolver, get_resolver, reverse
from django.utils import timezone
from playwright.sync_api import sync_playwright

from annotation.ingest import run_import
from annotation.models import (
    Completion,
    Criterion,
    Dataset,
    Import,
    Membership,
    Project,
    RankedCompletion,
    Ranking,
    Skip,
)
from annotation.store import store
from studio.models import ApiToken, WorkerBeat
from tests.e2e.browser import ARGUMENTS, chromium
from tests.tiny import tiny_model
from training import preflights, wake
from training.jobs import launch
from training.models import Answer, Comparison, CompletionRun, Metric, ModelVersion, Preflight, Sample, TrainingJob

ROOT = Path(__file__).resolve().parents[2]
RAN = "document.title=`ran`"
HOSTILE = {
    "script": f"<script>{RAN}</script>",
    "image": f'<img src="x" onerror="{RAN}">',
    "attribute": f'" autofocus onfocus="{RAN}" x="',
    "closing": f"</textarea></title></script><svg onload={RAN}>",
    "link": f"[x](javascript:{RAN}) javascript:{RAN}",
    "template": "{{ 7|add:7 }}{% csrf_token %}{0}%s",
    "backwards": "\u202egnp.exe\u202c \u200f",
    "null": "a\0b",
    "controls": "a\x07\x1b[31mb\r\nc",
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈 ﷽ Z̸̢͎a̴lgo",
    "long": "x" * 100_000,
    "digits": "²٣",
    "number": "9" * 40,
    "path": "../../../etc/passwd",
}
BAD_TAGS = {"script", "svg", "img", "iframe", "object", "embed", "base"}


class Page(HTMLParser):
    """What a browser would make of a page: its forms, and anything in it that could run."""

    def __init__(self, html: str):
        super().__init__(convert_charrefs=True)
        self.forms, self.form, self.live = [], None, []
        self.area, self.select, self.several, self.option = None, None, False, False
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        said = dict(attributes)
        self.judge(tag, said)
        if tag == "option" and self.form is not None and self.select:
            self.choose(said)
        if tag == "form":
            self.form = {"action": said.get("action", ""), "method": said.get("method", "get"), "data": {}, "texts": []}
            self.forms.append(self.form)
        if self.form is None or not said.get("name"):
            return
        name, data, kind = said["name"], self.form["data"], said.get("type", "text")
        if tag == "textarea":
            self.area, data[name] = name, ""
            self.form["texts"].append(name)
        elif tag == "select":
            self.select, self.several = name, "multiple" in said
        elif tag == "input" and kind in ("radio", "checkbox"):
            if "checked" in said:
                data[name] = said.get("value", "on")
        elif tag == "input" and kind != "file":
            data[name] = said.get("value", "")
            if kind != "hidden":
                self.form["texts"].append(name)
        elif tag == "button":
            data.setdefault(name, said.get("value", ""))

    def choose(self, option):
        """The selected option, else the first; of a list of several, all that are selected."""
        data = self.form["data"]
        if "selected" in option or not (self.several or self.select in data):
            data[self.select] = [*data.get(self.select, []), ""] if self.several else ""
            self.option = True
            if "value" in option:
                self.handle_data(option["value"])
                self.option = False

    def handle_data(self, text):
        if self.area:
            self.form["data"][self.area] += text
        elif self.option and self.several:
            self.form["data"][self.select][-1] += text
        elif self.option:
            self.form["data"][self.select] += text

    def handle_endtag(self, tag):
        if tag == "textarea":
            self.area = None
        if tag == "option":
            self.option = False
        if tag == "select":
            self.select = None
        if tag == "form":
            self.form = None

    def judge(self, tag, said):
        """Whatever the studio's own pages never hold."""
        inert = said.get("src", "").startswith("/static/") or said.get("type") == "application/json"
        own = {"script": inert, "svg": RAN not in str(said)}
        if tag in BAD_TAGS and not own.get(tag):
            self.live.append((tag, said))
        for name, value in said.items():
            handler = name.startswith("on") or (name in ("href", "src", "action") and "javascript:" in (value or ""))
            if handler or name == "style":
                self.live.append((tag, name, value))


@pytest.fixture
def root(db):
    return get_user_model().objects.create_superuser("root", "root@example.org", "a long password")


@pytest.fixture
def world(project, make_prompt, alice, bob):
    """One of everything in alice's project, in states whose pages show the most."""
    prompt, other = make_prompt(wanted=3), make_prompt("And of Chile?")
    Criterion.objects.create(project=project, name="Honest", description="Says what is so")
    ranking = Ranking.objects.create(prompt=prompt, labeler=bob, comment="Because.")
    for rank, completion in enumerate(prompt.completions.all(), 1):
        RankedCompletion.objects.create(ranking=ranking, completion=completion, rank=rank, shown=rank)
    Skip.objects.create(prompt=other, labeler=bob, reason="other", comment="No.")
    dataset = Dataset.objects.create(
        project=project, slug="frozen", name="Frozen", status="failed", message="Too small"
    )
    kept = Dataset.objects.create(project=project, slug="kept", name="Kept", status="ready", rows_train=1)
    model = ModelVersion.objects.create(name="ours", slug="ours-v1", project=project, created_by=alice, notes="Ours")
    second = ModelVersion.objects.create(
        name="theirs", slug="theirs-v1", project=project, status="failed", message="No"
    )
    ModelVersion.objects.create(name="base", slug="base-v1")
    job = TrainingJob.objects.create(
        name="dpo", project=project, dataset=kept, recipe="dpo", base_model=model, created_by=alice, status="failed",
        error={"class": "crash", "message": "It broke", "advice": "Mend it"}, log="last words",
        alarms=[{"kind": "nan", "step": 1, "message": "NaN", "advice": "Lower it"}],
    )  # fmt: skip
    messages = [{"role": "user", "content": "Hello?"}]
    Sample.objects.create(job=job, line=0, step=1, prompt=messages, completion="Hi.")
    Metric.objects.create(job=job, line=0, step=1, time=1.0, values={"loss": 1.0})
    comparison = Comparison.objects.create(created_by=alice, project=project, messages=messages, blind=False)
    for column, which in enumerate((model, second)):
        Answer.objects.create(comparison=comparison, column=column, model=which, text="Hi.", seconds=1, tokens=1)
    run = CompletionRun.objects.create(project=project, model=model, status="failed", message="Away", created_by=alice)
    came = Import.objects.create(
        project=project, name="a.jsonl", file="a", status="failed", message="Bad", created_by=alice,
        problems=[{"row": 1, "reason": "not JSON"}], bad=1,
    )  # fmt: skip
    preflight = Preflight.objects.create(
        dataset=kept, recipe="dpo", base_model=model, created_by=alice, status="failed", message="Gone"
    )
    ApiToken.issue(alice, "notebook")
    return {
        "project": project.slug, "prompt": prompt.pk, "dataset": dataset.slug, "model": model.slug, "job": job.pk,
        "import": came.pk, "comparison": comparison.pk, "run": run.pk, "preflight": preflight.pk,
    }  # fmt: skip


# What <slug> and <pk> mean, by the start of the address; a page added tomorrow under a new start must be named here.
MEANS = {
    "projects/<slug:slug>/imports/<int:pk>": "import",
    "projects/<slug:slug>/prompts/<int:pk>": "prompt",
    "projects/<slug:slug>/complete/<int:pk>": "run",
    "projects/<slug:slug>": "project",
    "datasets/<slug:slug>": "dataset",
    "models/<slug:slug>": "model",
    "train/<int:pk>": "job",
    "compare/<int:pk>": "comparison",
}
FIXED = {"<int:column>": "0", "<str:name>": "train.jsonl", "<path:path>": "config.json"}
ELSEWHERE = ("accounts/", "admin/", "api/", "v1/", "static/")  # allauth's, Django's, and the two that take tokens


def patterns(resolver=None, prefix="") -> list[str]:
    found = []
    for entry in (resolver or get_resolver()).url_patterns:
        path = prefix + str(entry.pattern)
        found += patterns(entry, path) if isinstance(entry, URLResolver) else [path]
    return found


def filled(path: str, world: dict) -> str:
    for start, what in MEANS.items():
        if path.startswith(start):
            path = path.replace("<int:pk>", str(world[what]))
            path = path.replace("<slug:slug>", str(world["project" if start.startswith("projects") else what]))
    for part, value in FIXED.items():
        path = path.replace(part, value)
    assert "<" not in path, f"{path}: say in MEANS what it shows"
    return f"/{path}"


def with_ids(world: dict) -> list[str]:
    return [filled(path, world) for path in patterns() if "<" in path and not path.startswith(ELSEWHERE)]


def everywhere(world: dict) -> list[str]:
    """Every page there is that a browser shows."""
    own = [filled(path, world) for path in patterns() if not path.startswith(ELSEWHERE)]
    job, project = reverse("job", args=[world["job"]]), reverse("project", args=[world["project"]])
    more = [f"{job}?tab={tab}" for tab in ("samples", "log", "settings", "machine", "files")]
    more += [f"{project}?agreement=1", f"/train/new/?check={world['preflight']}", f"/train/overlay/?run={world['job']}"]
    more += [
        f"/compare/?draw={world['project']}",
        "/models/new/?from=endpoint",
        "/models/new/?from=folder",
        "/models/theirs-v1/",
    ]
    return [*own, *more]


def is_page(response) -> bool:
    return response.headers.get("Content-Type", "").startswith("text/html")


def body(response) -> str:
    if response.streaming:
        return ""
    return response.content.decode()


# ---- hostile text ----


def test_a_page_is_read_as_a_browser_reads_it():
    """The judge of the tests below finds what it should, and only that."""
    bad = [
        "<p onclick=x>",
        "<script>x</script>",
        "<a href='javascript:x'>",
        "<p style='x'>",
        f"<svg onload={RAN}>",
        "<img>",
    ]
    assert [len(Page(html).live) > 0 for html in bad] == [True] * len(bad)
    good = [
        "&lt;script&gt;",
        "<p title='onclick=x'>",
        "<script src='/static/a.js'></script>",
        "<svg><path d='M0'/></svg>",
    ]
    assert [Page(html).live for html in good] == [[]] * len(good)


def texts_of(model: type[models.Model]) -> list[models.Field]:
    """Columns people, models or files fill with words."""
    kinds = (models.CharField, models.TextField)
    keys = {
        "fingerprint",
        "hash",
        "sha256",
        "password",
        "role",
        "source",
        "queue",
        "file",
        "recipe",
        "executor",
        "device",
    }
    found = [
        f
        for f in model._meta.concrete_fields
        if isinstance(f, kinds) and not isinstance(f, models.SlugField | models.URLField)
    ]
    return [f for f in found if not f.choices and not f.primary_key and f.name not in keys]


def plant(text: str) -> None:
    """Put `text` into every such column of every row, as if each way in had let it through."""
    stored = text.replace("\0", "")  # no database of ours stores it
    turns = [
        {"role": "user", "content": stored},
        {"role": "assistant", "content": stored},
        {"role": "user", "content": stored},
    ]
    for model in [m for app in ("studio", "annotation", "training") for m in apps.get_app_config(app).get_models()]:
        for row in model.objects.all():
            values = {}
            for field in texts_of(model):
                most = field.max_length or 1_000_000
                end = str(row.pk) if field.unique or field.name in ("name", "fingerprint") else ""
                values[field.name] = stored[: most - len(end)] + end
            names = {f.name for f in model._meta.concrete_fields}
            values |= {"messages": turns} if "messages" in names else {}
            values |= {"metadata": {stored: stored}} if "metadata" in names else {}
            model.objects.filter(pk=row.pk).update(**values)
    Completion.objects.update(source=stored[:200])
    problem = {"message": stored, "advice": stored, "class": "crash"}
    TrainingJob.objects.update(
        error=problem, alarms=[problem | {"kind": stored, "step": 1}], log=stored, latest={stored[:50]: 1.0}
    )
    TrainingJob.objects.update(result={"tokens": 1, "device": stored, "metrics": {stored[:50]: 1.0}})
    Import.objects.update(problems=[{"row": 1, "reason": stored}])
    Sample.objects.update(prompt=turns, parts={stored[:50]: 1.0})
    Metric.objects.update(values={stored[:50]: 1.0, "loss": 1.0})
    ModelVersion.objects.update(metrics={stored[:50]: 1.0})


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_text_in_every_column_is_shown_as_text_on_every_page(client, alice, world, kind):
    plant(HOSTILE[kind])
    client.force_login(alice)
    shown = 0
    for address in everywhere(world):
        answer = client.get(address)
        assert answer.status_code < 500, address
        if is_page(answer):
            html = body(answer)
            assert Page(html).live == [], address
            shown += "csrfmiddlewaretoken" in html or "rail" in html
    assert shown > 20


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_text_in_every_field_of_every_form_is_taken_or_refused(client, root, world, kind):
    """Every form of every page is sent with it: in all text fields at once, and in each alone."""
    client.force_login(root)
    sent = set()
    addresses = [address for address in everywhere(world) if not address.startswith("/accounts/")]
    for address in addresses:
        answer = client.get(address)
        if not is_page(answer):
            continue
        for form in Page(body(answer)).forms:
            target = form["action"] or address
            key = (target.partition("?")[0], tuple(form["texts"]))
            if key in sent or not form["texts"] or "password-old_password" in form["data"]:
                continue
            sent.add(key)
            alone = [[name] for name in form["texts"]] if 1 < len(form["texts"]) < 9 else []
            for names in [form["texts"], *alone]:
                said = form["data"] | dict.fromkeys(names, HOSTILE[kind])
                reply = client.post(target, said) if form["method"] == "post" else client.get(target, said)
                assert reply.status_code < 500, (target, names)
                if is_page(reply):
                    assert Page(body(reply)).live == [], (target, names)
    assert len(sent) >= 18, sent


QUERIES = [
    *("q", "before", "after", "at", "check", "from", "run", "draw", "model", "besides"),
    *("status", "recipe", "project", "tab", "split", "page", "criterion", "origin", "state", "flag"),
    *("step", "since", "makes", "upload", "format", "shape", "labeler", "part", "seen", "dataset"),
    *("base_model", "preset"),
]


@pytest.mark.parametrize("kind", ["null", "digits", "number", "script", "emoji"])
def test_nonsense_in_an_address_is_never_an_error_of_ours(client, alice, world, kind):
    client.force_login(alice)
    broken = []
    client.raise_request_exception = False
    for address in everywhere(world):
        for headers in ({}, {"HX-Request": "true"}):
            answer = client.get(address.partition("?")[0], dict.fromkeys(QUERIES, HOSTILE[kind]), headers=headers)
            if answer.status_code >= 500:
                broken.append(address)
    assert broken == []


# ---- other people's things ----


def counts() -> dict[str, int]:
    rows = [m for app in ("studio", "annotation", "training") for m in apps.get_app_config(app).get_models()]
    return {model.__name__: model.objects.count() for model in rows}


@pytest.mark.parametrize("method", ["get", "post"])
def test_an_outsider_reaches_nothing_by_guessing_ids(client, carol, world, method):
    client.force_login(carol)
    before = counts()
    found = {address: getattr(client, method)(address).status_code for address in with_ids(world)}
    assert len(found) > 30
    assert {address: status for address, status in found.items() if status not in (403, 404, 405)} == {}
    assert method == "post" or set(found.values()) <= {404, 405}
    assert counts() == before


def test_a_labeler_changes_nothing_that_is_not_hers(client, bob, world):
    """Posting to every address with an id leaves everything but her own labels as it was."""
    client.force_login(bob)
    before = counts()
    for address in with_ids(world):
        if "/rank/" not in address:
            assert client.post(address, {"delete": "1", "action": "remove", "how": "stop"}).status_code != 500, address
    assert counts() == before
    assert TrainingJob.objects.get(pk=world["job"]).status == "failed"


def test_an_outsiders_token_opens_nothing_of_the_api(client, carol, world):
    _, token = ApiToken.issue(carol, "script")
    headers = {"Authorization": f"Bearer {token}"}
    paths = client.get("/api/v1/openapi.json").json()["paths"]
    meant = {
        "/projects/": "project",
        "/prompts/": "prompt",
        "/imports/": "import",
        "/datasets/": "dataset",
        "/jobs/": "job",
    }
    asked, before = 0, counts()
    for path, verbs in paths.items():
        if "{" not in path:
            continue
        what = next(value for part, value in meant.items() if part in path)
        address = re.sub(r"\{\w+\}", str(world[what]), path)
        for verb in verbs:
            said = {"ranks": {}, "name": "x", "how": "stop"}
            answer = getattr(client, verb)(address, json.dumps(said) if verb != "get" else None,
                                           content_type="application/json", headers=headers)  # fmt: skip
            assert answer.status_code in (404, 422), (verb, address, answer.status_code)
            assert answer.status_code == 404 or verb != "get"
            asked += 1
    assert asked >= 8 and counts() == before


def test_an_outsider_asks_no_model_of_others_by_name(client, carol, world):
    _, token = ApiToken.issue(carol, "script")
    headers = {"Authorization": f"Bearer {token}"}
    listed = [model["id"] for model in client.get("/v1/models", headers=headers).json()["data"]]
    assert listed == ["base-v1"]  # the one that belongs to no project
    said = json.dumps({"model": world["model"], "messages": [{"role": "user", "content": "Hello"}]})
    assert (
        client.post("/v1/chat/completions", said, content_type="application/json", headers=headers).status_code == 404
    )


def test_rows_named_in_a_form_must_be_ones_own(client, carol, project, world, make_prompt):
    """Ids in the body are ids too: a manager of one project cannot use another's things in it."""
    hers = Project.objects.create(name="Carol's")
    Membership.objects.create(project=hers, user=carol, role="manager")
    client.force_login(carol)
    ours = ModelVersion.objects.get(slug=world["model"])
    before = counts()
    sent = {
        "/train/new/": {"action": "check", "project": project.pk, "dataset": Dataset.objects.get(slug="kept").pk,
                        "recipe": "dpo", "base_model": ours.pk, "device": "auto"},
        "/compare/": {"message": "Hi", "models": [ours.pk, ours.pk], "temperature": 1, "top_p": 1, "max_tokens": 4},
        reverse("complete", args=[hers.slug]): {"model": ours.pk, "per_prompt": 2},
        reverse("project_people", args=[hers.slug]): {"action": "remove", "member": project.memberships.first().pk},
        reverse("rank_submit", args=[hers.slug]): {"prompt": world["prompt"]},
        reverse("account"): {"action": "revoke", "pk": ApiToken.objects.first().pk},
    }  # fmt: skip
    for address, said in sent.items():
        assert client.post(address, said).status_code in (200, 404, 422), address
    assert counts() == before


# ---- what is sent twice ----


@pytest.fixture
def trainable(project, alice):
    """A dataset with files and a model with weights: what a launch needs."""
    turn = {
        "prompt": ("user", "Are you there?"),
        "chosen": ("assistant", "Yes, gladly."),
        "rejected": ("assistant", "No."),
    }
    row = json.dumps({key: [{"role": role, "content": content}] for key, (role, content) in turn.items()}) + "\n"
    dataset = Dataset.objects.create(
        project=project, slug="rows", name="Rows", status="ready", rows_train=30, rows_eval=3
    )
    folder = store().work(dataset.folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.jsonl").write_text(row * 30)
    (folder / "eval.jsonl").write_text(row * 3)
    model = ModelVersion.objects.create(name="Tiny", slug="tiny-v1", created_by=alice)
    tiny_model(store().work(model.folder))
    return dataset, model


def fields(client, address: str) -> dict:
    """What the page's form sends when nothing is touched."""
    return next(form["data"] for form in Page(body(client.get(address))).forms if form["method"] == "post")


def test_a_launch_sent_twice_is_one_training(client, alice, trainable):
    client.force_login(alice)
    dataset, model = trainable
    said = fields(client, "/train/new/?preset=smoke") | {"dataset": dataset.pk, "base_model": model.pk}
    checked = client.post("/train/new/", said | {"action": "check"})
    assert checked.status_code == 302, Page(body(checked)).forms
    check = Preflight.objects.get()
    preflights.run(check)
    said |= {"action": "launch", "check": check.pk, "confirmed": "1"}
    first, second = client.post("/train/new/", said), client.post("/train/new/", said)
    assert TrainingJob.objects.count() == 1
    assert first.url == second.url == TrainingJob.objects.get().get_absolute_url()


def test_a_freeze_sent_twice_is_one_dataset(client, alice, bob, project, make_prompt):
    for n in range(4):
        prompt = make_prompt(f"Question {n}?", ("Good.", f"Bad {n}."))
        ranking = Ranking.objects.create(prompt=prompt, labeler=bob)
        for rank, completion in enumerate(prompt.completions.all(), 1):
            RankedCompletion.objects.create(ranking=ranking, completion=completion, rank=rank, shown=rank)
    client.force_login(alice)
    said = {"name": "Twice", "eval_percent": 10, "seed": 42, "disagreement": "keep"}
    urls = {client.post(reverse("dataset_new", args=[project.slug]), said).url for _ in range(2)}
    assert urls == {Dataset.objects.get().get_absolute_url()}


def test_an_import_sent_twice_lands_once(client, alice, project):
    client.force_login(alice)
    rows = "".join(json.dumps({"prompt": f"Q{n}", "completions": ["a", "b"]}) + "\n" for n in range(5))
    preview = client.post(reverse("import_new", args=[project.slug]), {"text": rows})
    said = fields(client, preview.url)
    replies = [client.post(reverse("import_preview", args=[project.slug]), said) for _ in range(2)]
    assert {reply.url for reply in replies} == {reverse("import", args=[project.slug, Import.objects.get().pk])}
    run_import(Import.objects.get())
    assert project.prompts.count() == 5
    late = client.post(reverse("import_preview", args=[project.slug]), said, follow=True)
    assert late.status_code == 200 and Import.objects.count() == 1 and project.prompts.count() == 5


def test_a_vote_sent_twice_is_one_label(client, alice, project, world):
    client.force_login(alice)
    address = reverse("comparison_vote", args=[world["comparison"]])
    before = Ranking.objects.count()
    Answer.objects.filter(column=1).update(text="Hello.")
    for choice in ("A", "B"):
        assert client.post(address, {"choice": choice, "project": project.slug}).status_code == 302
    assert Ranking.objects.count() == before + 1
    assert Comparison.objects.get().ranking.ranked.get(rank=1).completion.text == "Hi."


def test_an_account_or_a_project_sent_twice_says_so_or_stays_apart(client, alice, project):
    client.force_login(alice)
    people = reverse("project_people", args=[project.slug])
    said = {"action": "invite", "invite-username": "dora", "invite-role": "labeler"}
    client.post(people, said)
    assert "dora exists already" in body(client.post(people, said))
    assert get_user_model().objects.filter(username="dora").count() == 1


# ---- what is away ----


def test_a_broker_that_is_away_keeps_a_launch_and_the_page_says_so(
    client, alice, trainable, monkeypatch, django_capture_on_commit_callbacks
):
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)  # it would go before what is said here
    away = Celery("away", broker="redis://127.0.0.1:1/0")  # nobody listens there
    monkeypatch.setattr(wake, "current_app", away)
    dataset, model = trainable
    with django_capture_on_commit_callbacks(execute=True):
        job = launch(alice, dataset, "dpo", model, name="Kept")
    away.close()
    job.refresh_from_db()
    assert job.status == "queued" and job.sent is None
    WorkerBeat.objects.create(name="trainer-1@here train", queue="train", seen=timezone.now())
    client.force_login(alice)
    page = body(client.get(job.get_absolute_url()))
    assert "The message broker does not answer. The job is kept and starts when it does." in page


ASK = """
import asyncio, json
import studio.asgi

async def ask(path, cookie):
    said, body = [], asyncio.Queue()
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
             "path": path, "raw_path": path.encode(), "query_string": b"", "client": ("127.0.0.1", 1),
             "headers": [(b"host", b"localhost"), (b"cookie", b"sessionid=" + b"a" * 32)], "server": ("127.0.0.1", 80)}
    body.put_nowait({"type": "http.request", "body": b"", "more_body": False})
    async def send(message): said.append(message)
    await studio.asgi.application(scope, body.get, send)
    return said[0]["status"], b"".join(part.get("body", b"") for part in said[1:]).decode()

print(json.dumps(asyncio.run(ask("/projects/", ""))))
"""


def test_a_database_that_cannot_be_opened_gives_a_page_that_says_what_to_do(tmp_path):
    (tmp_path / "db.sqlite3").mkdir()
    env = os.environ | {"STUDIO_HOME": str(tmp_path), "DATABASE_URL": "", "DJANGO_SETTINGS_MODULE": "studio.settings"}
    done = subprocess.run([sys.executable, "-c", ASK], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    status, html = json.loads(done.stdout.splitlines()[-1])
    assert status == 500 and "unable to open database file" in done.stderr
    assert "What you had saved is safe" in html and "Try again in a moment" in html
    assert "Traceback" not in html and Page(html).live == []


@pytest.mark.django_db(transaction=True)
def test_a_locked_database_gives_a_page_that_says_what_to_do_and_keeps_all(client, alice, project):
    """On SQLite a writer that never ends; on PostgreSQL a lock on the row that is to be written."""
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL lets others read and write beside a long writer")
    client.force_login(alice)
    held, over = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic():
            Project.objects.update(description="writing")
            held.set()
            over.wait(20)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    try:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout=100")
        client.raise_request_exception = False
        said = {"name": "Renamed", "labels_wanted": 1, "criteria-TOTAL_FORMS": 0, "criteria-INITIAL_FORMS": 0}
        answer = client.post(reverse("project_settings", args=[project.slug]), said)
        assert answer.status_code == 500 and "Try again in a moment" in body(answer)
    finally:
        over.set()
        thread.join()
        connection.close()
    project.refresh_from_db()
    assert project.name == "Helpful answers" and project.description == "writing"


# ---- in a browser ----


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_nothing_hostile_runs_in_a_browser(live_server, alice, world):
    plant(
        "".join(HOSTILE[kind] for kind in ("closing", "script", "image", "attribute", "link"))
        + " $\\href{javascript:x}{y}$"
    )
    me = Client()
    me.force_login(alice)
    cookie = {"name": settings.SESSION_COOKIE_NAME, "value": me.cookies[settings.SESSION_COOKIE_NAME].value}
    answers = {address: me.get(address) for address in everywhere(world)}
    pages = [address for address, answer in answers.items() if is_page(answer) and answer.status_code == 200]
    complaints, titles = [], {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        context = browser.new_context()
        context.add_cookies([cookie | {"url": live_server.url}])
        page = context.new_page()
        page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
        page.on(
            "console",
            lambda message: "Content Security Policy" in message.text and complaints.append((page.url, message.text)),
        )
        page.on("pageerror", lambda error: complaints.append((page.url, str(error))))
        for address in pages:
            page.goto(live_server.url + address)
            titles[address] = page.title()
        browser.close()
    assert complaints == []
    assert len(titles) > 20 and "ran" not in titles.values()
