"""The import pages: upload or paste, preview, map columns, follow, cancel; hostile files get clear answers."""

import json

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone

from annotation.importing import uploads
from annotation.importing.ingest import run_import
from annotation.models import Import, Membership, Project
from annotation.store import store
from studio.models import WorkerBeat

ROWS = [{"prompt": f"Question {n}?", "completions": ["Yes.", "No."]} for n in range(3)]
LINES = "\n".join(json.dumps(row) for row in ROWS)


@pytest.fixture
def page(client, project, alice):
    client.force_login(alice)
    return reverse("import_new", args=[project.slug])


def upload(client, page, content, name="rows.jsonl"):
    content = content.encode() if isinstance(content, str) else content
    return client.post(page, {"file": SimpleUploadedFile(name, content)})


def confirm(client, response, **fields):
    preview = client.get(response.url)
    look = preview.context["look"]
    said = {
        "upload": preview.context["upload"],
        "format": look["mapping"]["format"],
        "mapped": look["mapping"]["shape"],
    }
    said |= {name: value for name, value in look["mapping"].items() if name != "format"}
    return client.post(response.url.split("?")[0], said | fields)


def test_a_file_goes_from_upload_over_preview_to_prompts(client, page, project):
    response = upload(client, page, LINES)
    preview = client.get(response.url)
    assert preview.status_code == 200 and b"Question 0?" in preview.content and not project.prompts.exists()
    response = confirm(client, response)
    job = Import.objects.get()
    assert response.url == reverse("import", args=[project.slug, job.pk]) and job.name == "rows.jsonl"
    run_import(job)
    report = client.get(response.url)
    assert b"succeeded" in report.content and project.prompts.count() == 3
    assert b"hx-trigger" not in report.content.split(b'id="report"')[1].split(b">")[0]


def test_pasted_rows_are_a_file_too(client, page, project):
    response = client.post(page, {"text": "prompt,response_1,response_2\nHi?,Hello.,Go away."})
    mapping = client.get(response.url).context["look"]["mapping"]
    assert mapping == {
        "format": "csv",
        "shape": "completions",
        "prompt": "prompt",
        "completions": ["response_1", "response_2"],
    }
    confirm(client, response)
    run_import(Import.objects.get())
    assert list(project.prompts.get().completions.values_list("text", flat=True)) == ["Hello.", "Go away."]


def test_the_guess_can_be_overridden_and_the_preview_follows(client, page, project):
    response = upload(client, page, '{"instruction": "Hi?", "good": "a", "poor": "b"}')
    address = response.url
    assert client.get(address).context["look"]["mapping"]["shape"] == "prompts"
    asked = client.get(address + "&shape=preference&mapped=prompts")
    assert asked.context["look"]["trouble"] == "Choose the column that holds the chosen."
    chosen = "&shape=preference&mapped=preference&prompt=instruction&chosen=good&rejected=poor"
    fragment = client.get(address + chosen, headers={"HX-Request": "true"})
    assert b"<html" not in fragment.content and b"ranked already" in fragment.content
    confirm(
        client, response, shape="preference", mapped="preference", prompt="instruction", chosen="good", rejected="poor"
    )
    run_import(Import.objects.get())
    assert project.prompts.get().rankings.get().ranked.first().completion.text == "a"


def test_what_is_imported_is_shown_as_text_never_run(client, page):
    script = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    response = upload(client, page, json.dumps({"prompt": script, "completions": [script]}), name=f"{script}.jsonl")
    preview = client.get(response.url).content
    assert b"<script>alert" not in preview and b"<img" not in preview and b"&lt;script&gt;alert" in preview


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\x7fELF\x00\x00", "binary file"),
        (b"\x1f\x8b\x08\x00", "damaged or ends early"),
        ("a,b".encode("utf-16"), "save it as UTF-8"),
        (b"  \n ", "blank lines"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_at_the_door(client, page, content, why):
    response = upload(client, page, content)
    assert response.status_code == 422 and why in response.content.decode()
    assert not Import.objects.exists()


def test_a_file_that_breaks_off_shows_where_in_the_preview(client, page):
    response = upload(client, page, '[{"prompt": "a"}, {')
    assert "after row 1" in client.get(response.url).content.decode()


def test_an_upload_over_the_limit_is_refused_and_leaves_nothing(client, page, monkeypatch):
    before = set(settings.FILE_UPLOAD_TEMP_DIR.iterdir())
    monkeypatch.setattr(settings, "UPLOAD_BYTES", 3 << 20)
    response = upload(client, page, b"x" * (4 << 20))
    assert response.status_code == 422 and "larger than 3 MB" in response.content.decode()
    assert set(settings.FILE_UPLOAD_TEMP_DIR.iterdir()) == before


def test_a_disk_that_fills_up_during_upload_is_told(client, page, monkeypatch):
    class Full:
        name = "/nonexistent"

        def write(self, data):
            raise OSError(28, "No space left on device")

        def close(self):
            pass

    def new_file(self, *args, **kwargs):
        self.file = Full()

    monkeypatch.setattr(uploads.LimitedUpload, "new_file", new_file)
    response = upload(client, page, LINES)
    assert response.status_code == 422 and "The disk is full" in response.content.decode()


def test_nothing_chosen_says_what_to_do(client, page):
    response = client.post(page, {})
    assert response.status_code == 422 and b"Choose a file, or paste some rows." in response.content


def test_an_upload_of_another_project_or_a_forged_one_opens_nothing(client, page, project, alice):
    other = Project.objects.create(name="Other")
    Membership.objects.create(project=other, user=alice, role="manager")
    token = upload(client, page, LINES).url.split("upload=")[1]
    for address in (
        reverse("import_preview", args=[other.slug]) + f"?upload={token}",
        reverse("import_preview", args=[project.slug]) + f"?upload={token[:-3]}abc",
        reverse("import_preview", args=[project.slug]) + "?upload=../../secret_key",
        reverse("import_preview", args=[project.slug]),
    ):
        response = client.get(address)
        assert b"no longer here" in response.content and b"Question" not in response.content
    assert client.post(reverse("import_preview", args=[other.slug]), {"upload": token}).status_code == 200
    assert not Import.objects.exists()


def test_only_managers_import(client, page, project, bob, carol):
    job = Import.objects.create(project=project, name="x")
    addresses = [page, reverse("import_preview", args=[project.slug]), reverse("import", args=[project.slug, job.pk])]
    addresses.append(reverse("import_problems", args=[project.slug, job.pk]))
    for who, status in ((bob, 403), (carol, 404)):
        client.force_login(who)
        assert [client.get(address).status_code for address in addresses] == [status] * 4
        assert client.post(page, {"text": LINES}).status_code == status


def test_an_unfinished_import_polls_says_when_no_worker_listens_and_can_be_cancelled(client, page, project):
    job = Import.objects.create(project=project, name="x", file="imports/uploads/x", total=10)
    address = reverse("import", args=[project.slug, job.pk])
    fragment = client.get(address, headers={"HX-Request": "true"}).content.decode()
    assert 'hx-trigger="every 1s"' in fragment and "No worker is listening" in fragment and "<html" not in fragment
    WorkerBeat.objects.create(name="w", queue="default", seen=timezone.now())
    assert "No worker is listening" not in client.get(address).content.decode()
    assert client.post(address).url == address
    job.refresh_from_db()
    assert job.status == "cancelled"
    fragment = client.get(address, headers={"HX-Request": "true"}).content.decode()
    assert "every 1s" not in fragment and "What had landed stays" in fragment


def test_a_running_import_shows_its_pace_and_time_left(client, page, project):
    now = timezone.now()
    fields = {"status": "running", "started": now - timezone.timedelta(seconds=1000), "heartbeat": now}
    fields |= {"done": 250, "total": 1000, "rows": 50_000}
    job = Import.objects.create(project=project, name="x", **fields)
    text = client.get(reverse("import", args=[project.slug, job.pk])).content.decode()
    assert "50 rows/s" in text and "about 50 min left" in text


def test_bad_rows_are_listed_and_downloaded(client, page, project):
    confirm(client, upload(client, page, LINES + "\n{oops\n"))
    job = Import.objects.get()
    run_import(job)
    text = client.get(reverse("import", args=[project.slug, job.pk])).content.decode()
    assert "not JSON" in text and "Download all 1" in text
    response = client.get(reverse("import_problems", args=[project.slug, job.pk]))
    assert response.status_code == 200 and "attachment" in response.headers["Content-Disposition"]


def test_uploads_nobody_imported_are_forgotten_after_a_day(client, page, project, monkeypatch):
    upload(client, page, LINES)
    kept = confirm(client, upload(client, page, LINES))
    folder = store().work("imports/uploads/x").parent
    before = {path.name for path in folder.iterdir()}
    monkeypatch.setattr(uploads, "KEEP_SECONDS", -1)
    uploads.sweep()
    used = Import.objects.get(pk=kept.url.rstrip("/").split("/")[-1]).file.split("/")[-1]
    assert len(before) >= 2 and {path.name for path in folder.iterdir()} == {used}
