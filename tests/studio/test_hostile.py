"""Hostile text in every column, every field of every form and every address: shown as text, taken or refused."""

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import models, transaction
from django.db.models import Value
from django.db.models.functions import Concat
from django.test import Client
from playwright.sync_api import sync_playwright

from annotation.models import Completion, Import, StepLabels
from tests.e2e.browser import ARGUMENTS, chromium
from tests.studio.reading import RAN, Page, body, is_page
from tests.studio.world import everywhere
from training.models import Metric, ModelVersion, Sample, SearchRun, TrainingJob

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


@pytest.fixture
def root(db):
    return get_user_model().objects.create_superuser("root", "root@example.org", "a long password")


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
        "strategy",
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
    Completion.objects.exclude(steps=None).update(steps=[stored] * 3)
    StepLabels.objects.update(notes={"1": stored}, rewrites={"1": {"text": stored, "source": stored}})
    StepLabels.objects.filter(labeler=None).update(source=Concat("kind", Value(stored[:100])))
    problem = {"message": stored, "advice": stored, "class": "crash"}
    watched = {"eval_reward": 0.5, "eval_kl": 1.0, "eval_gold": 0.4, "eval_gold_stderr": stored}
    latest = {stored[:50]: 1.0} | watched
    TrainingJob.objects.update(error=problem, alarms=[problem | {"kind": stored, "step": 1}], log=stored, latest=latest)
    gold = {"gold": {"step": 1, "kept": stored, "text": stored}, "reason": stored}
    TrainingJob.objects.update(result={"tokens": 1, "device": stored, "metrics": {stored[:50]: 1.0}} | gold)
    Import.objects.update(problems=[{"row": 1, "reason": stored}])
    Sample.objects.update(prompt=turns, parts={stored[:50]: 1.0})
    Metric.objects.update(values={"loss": 1.0} | latest)
    ModelVersion.objects.update(metrics={stored[:50]: 1.0})
    for run in SearchRun.objects.exclude(result=None):
        nodes = [node | {"step": stored, "answer": node["answer"] and stored} for node in run.result["nodes"]]
        votes = [vote | {"answer": stored} for vote in run.result["answers"]]
        SearchRun.objects.filter(pk=run.pk).update(result=run.result | {"nodes": nodes, "answers": votes})


# What is only shown may be planted together: a page that shows one part of it as it should hides no other.
SHOWN = {
    "markup": "".join(HOSTILE[kind] for kind in ("attribute", "closing", "image", "script")),
    "odd": "".join(HOSTILE[kind] for kind in ("template", "backwards", "emoji", "controls")),
    **{kind: HOSTILE[kind] for kind in ("link", "long", "digits", "number", "path")},
}


@pytest.mark.parametrize("kind", SHOWN)
def test_hostile_text_in_every_column_is_shown_as_text_on_every_page(client, alice, world, kind):
    plant(SHOWN[kind])
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


def test_hostile_text_in_every_field_of_every_form_is_taken_or_refused(client, root, world):
    """Every form of every page is sent with it: in all text fields at once, and in each alone."""
    client.force_login(root)
    forms = forms_of_all_pages(client, world)
    assert len(forms) >= 18, forms.keys()
    for kind, text in HOSTILE.items():
        with transaction.atomic():
            for (_, texts), form in forms.items():
                target = form["target"]
                alone = [[name] for name in texts] if 1 < len(texts) < 9 else []
                for names in [texts, *alone]:
                    said = form["data"] | dict.fromkeys(names, text)
                    reply = client.post(target, said) if form["method"] == "post" else client.get(target, said)
                    assert reply.status_code < 500, (kind, target, names)
                    if is_page(reply):
                        assert Page(body(reply)).live == [], (kind, target, names)
            transaction.set_rollback(True)  # the next kind finds all as it was
        cache.clear()


def forms_of_all_pages(client, world) -> dict[tuple[str, tuple[str, ...]], dict]:
    """By where each is sent and the fields in which one can write."""
    forms = {}
    for address in everywhere(world):
        if address.startswith("/accounts/") or not is_page(answer := client.get(address)):
            continue
        for form in Page(body(answer)).forms:
            target = (form["action"] or address).partition("?")[0]
            if form["texts"] and "password-old_password" not in form["data"]:
                forms.setdefault((target, tuple(form["texts"])), form | {"target": form["action"] or address})
    return forms


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
