"""Bad input and faults: other people's ids, what is sent twice, what is away."""

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from celery import Celery
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.urls import reverse
from django.utils import timezone

from annotation.importing.ingest import run_import
from annotation.models import (
    Dataset,
    Import,
    Membership,
    Project,
    RankedCompletion,
    Ranking,
)
from annotation.store import store
from studio.models import ApiToken, WorkerBeat
from tests.studio.reading import Page, body, fields
from tests.studio.world import counts, with_ids
from tests.tiny import tiny_model
from training import preflights, wake
from training.jobs import launch
from training.models import Answer, Comparison, ModelVersion, Preflight, TrainingJob

ROOT = Path(__file__).resolve().parents[2]


# ---- other people's things ----


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
        if "/rank/" not in address and "/steps/" not in address:
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
        "/searches/": "search",
        "/step-labels/": "labeling",
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


def test_a_dataset_whose_file_is_gone_says_which_and_what_to_do(client, alice, trainable):
    client.force_login(alice)
    dataset, _ = trainable
    (store().work(dataset.folder) / "train.jsonl").unlink()
    page = client.get(dataset.get_absolute_url())
    assert page.status_code == 404
    assert "datasets/rows/train.jsonl" in body(page) and "STUDIO_STORE" in body(page)
    _, token = ApiToken.issue(alice, "test")
    rows = client.get("/api/v1/datasets/rows/rows", headers={"Authorization": f"Bearer {token}"})
    assert rows.status_code == 404 and "datasets/rows/train.jsonl" in rows.json()["detail"]


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
    away = Celery("away", broker="redis://127.0.0.1:1/0", set_as_current=False)  # nobody listens there
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
