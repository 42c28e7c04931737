"""No launch without a check: what it found, what it blocks, and what is checked again."""

import json
import re
from datetime import timedelta

import pytest
from django.utils import timezone

from annotation.models import Membership
from annotation.store import store
from studio.models import WorkerBeat
from tests.reading import text
from training import preflights
from training.models import ModelVersion, Preflight, TrainingJob
from training.report import digest

pytest_plugins = ["tests.training.launching"]


def test_the_check_reads_the_rows_and_shows_what_it_found(client, checked):
    check = checked()
    html = text(client.get(f"/train/new/?check={check.pk}"))
    assert check.status == "ready", check.message
    assert "24 of 24" in html and 'hx-trigger="every' not in html
    assert re.search(r'value="smoke" data-refill( ?)checked', html)
    assert "Direct preference optimization" in html
    assert '<span class="learned">' in html and "<rect" in html
    assert 'value="launch"' in html


def test_a_check_waits_for_a_worker_and_says_so(client, form):
    answer = client.post("/train/new/", form(), follow=True)
    html = text(answer)
    assert "waiting for a worker" in html and 'hx-trigger="every 1s"' in html
    assert "No worker is listening" in html
    WorkerBeat.objects.create(name="w", queue="default", seen=timezone.now())
    assert "No worker is listening" not in text(client.get(answer.redirect_chain[-1][0]))


def test_a_checked_form_is_launched_exactly_as_checked(client, form, checked):
    check = checked(name="Manners")
    answer = client.post("/train/new/", form(action="launch", check=check.pk, confirmed="1", name="Better name"))
    job = TrainingJob.objects.get()
    assert answer.url == f"/train/{job.pk}/"
    assert (job.status, job.name, job.recipe, job.device) == ("queued", "Better name", "dpo", "cpu")
    assert job.settings == check.settings and job.preflight == check.report
    assert (job.executor, job.queue) == ("local", "train")


def test_a_place_changed_after_the_check_is_checked_again(client, form, checked):
    check = checked()
    client.post("/train/new/", form(action="launch", check=check.pk, confirmed="1", executor="accelerate"))
    assert not TrainingJob.objects.exists() and Preflight.objects.first().executor == "accelerate"


def test_what_was_changed_after_the_check_is_checked_again(client, form, checked):
    check = checked()
    answer = client.post("/train/new/", form(action="launch", check=check.pk, confirmed="1", **{"set-beta": "0.9"}))
    assert not TrainingJob.objects.exists()
    assert Preflight.objects.count() == 2 and f"check={Preflight.objects.first().pk}" in answer.url


@pytest.mark.parametrize("check", ["", "0", "abc", "99999"])
def test_nothing_is_launched_without_a_check(client, form, check):
    client.post("/train/new/", form(action="launch", check=check, confirmed="1"))
    assert not TrainingJob.objects.exists() and Preflight.objects.count() == 1


def test_an_unfinished_check_does_not_launch(client, form):
    client.post("/train/new/", form())
    client.post("/train/new/", form(action="launch", check=Preflight.objects.get().pk, confirmed="1"))
    assert not TrainingJob.objects.exists()


def test_nobody_launches_with_someone_elses_check(client, form, checked, project, django_user_model):
    check = checked()
    mallory = django_user_model.objects.create_user("mallory", "m@example.org", "a long password")
    Membership.objects.create(project=project, user=mallory, role="manager")
    client.force_login(mallory)
    assert client.get(f"/train/new/?check={check.pk}").status_code == 404
    client.post("/train/new/", form(action="launch", check=check.pk, confirmed="1"))
    assert not TrainingJob.objects.exists()


def test_errors_block_the_launch(client, form, checked):
    check = checked(**{"set-max_length": "3"})
    assert check.report["errors"]
    html = text(client.get(f"/train/new/?check={check.pk}"))
    assert "raise max_length" in html and 'value="launch"' not in html
    client.post("/train/new/", form(action="launch", check=check.pk, confirmed="1", **{"set-max_length": "3"}))
    assert not TrainingJob.objects.exists()


def test_warnings_need_a_tick(client, form, checked, rows):
    folder = store().work(rows.folder)
    (folder / "eval.jsonl").write_text("")
    check = checked()
    assert any("no held-out rows" in warning for warning in check.report["warnings"])
    client.post("/train/new/", form(action="launch", check=check.pk))
    assert not TrainingJob.objects.exists()
    client.post("/train/new/", form(action="launch", check=check.pk, confirmed="1"))
    assert TrainingJob.objects.count() == 1


def test_rows_that_cannot_be_read_are_an_error_that_names_the_line(client, checked, rows):
    (store().work(rows.folder) / "train.jsonl").write_text('{"prompt": []}\nnot json\n')
    check = checked()
    html = text(client.get(f"/train/new/?check={check.pk}"))
    assert "train.jsonl line 1" in html and 'value="launch"' not in html


def test_a_model_whose_files_are_gone_fails_the_check_with_the_reason(client, form, alice):
    gone = ModelVersion.objects.create(name="Gone", slug="gone-v1", created_by=alice)
    client.post("/train/new/", form(base_model=gone.pk))
    check = Preflight.objects.get()
    preflights.run(check)
    check.refresh_from_db()
    assert check.status == "failed" and "models/gone-v1" in check.message
    assert "models/gone-v1" in text(client.get(f"/train/new/?check={check.pk}"))


def test_a_message_that_comes_twice_checks_once(checked):
    check = checked()
    Preflight.objects.filter(pk=check.pk).update(report={"mark": 1})
    preflights.run(check)
    check.refresh_from_db()
    assert check.report == {"mark": 1}
    assert not store().work(check.folder).exists()


def test_a_check_whose_worker_died_is_given_up_in_the_end(client, form):
    client.post("/train/new/", form())
    Preflight.objects.update(status="running", created=timezone.now() - timedelta(hours=1))
    preflights.wake_lost()
    assert Preflight.objects.get().status == "failed"


def test_checks_of_last_week_are_forgotten_when_another_is_asked_for(client, form):
    for days in (6, 8):
        client.post("/train/new/", form())
        Preflight.objects.filter(pk=Preflight.objects.first().pk).update(created=timezone.now() - timedelta(days=days))
    kept, gone = Preflight.objects.order_by("pk")
    client.post("/train/new/", form())
    newest = Preflight.objects.first()
    assert set(Preflight.objects.all()) == {kept, newest} and newest not in (kept, gone)
    assert client.get(f"/train/new/?check={gone.pk}").status_code == 404


def test_token_pieces_and_messages_are_never_markup(client, form, checked, rows):
    evil = "<script>alert(1)</script>"
    row = {"prompt": [{"role": "user", "content": evil}], "chosen": [{"role": "assistant", "content": evil}]}
    row |= {"rejected": [{"role": "assistant", "content": "<img src=x onerror=alert(1)>"}]}
    (store().work(rows.folder) / "train.jsonl").write_text(json.dumps(row) + "\n")
    html = client.get(f"/train/new/?check={checked(name=evil).pk}").content.decode()
    assert "<script>alert" not in html and "<img src" not in html


def test_a_report_that_lacks_parts_is_still_shown():
    assert digest({})["lengths"] is None
    assert digest({"lengths": {}, "rows": {"train": {}}, "examples": None})["rows"] == {}


def test_the_length_chart_has_a_bar_for_every_bin_that_holds_rows_and_a_line_at_the_limit():
    part = {"bin_width": 10, "counts": [1, 0, 4], "median": 25, "p95": 29, "max": 29}
    chart = digest({"lengths": {"prompt": part, "chosen": part}}, max_length=20)["lengths"]
    assert [len(row["bars"]) for row in chart["rows"]] == [2, 2]
    assert chart["left"] < chart["limit"] < chart["width"]
    assert digest({"lengths": {"prompt": part}}, max_length=1000)["lengths"]["limit"] is None
