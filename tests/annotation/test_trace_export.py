"""A project of traces goes out and comes in again with every source's labels; published formats say the same."""

import json

import pytest
from django.core.management import call_command
from django.urls import reverse

from annotation.export import export_lines
from annotation.freezing.freeze import freeze
from annotation.importing.ingest import import_path
from annotation.models import Alternative, Completion, Prompt, StepLabels
from tests.annotation.traces import SHARED, sample, shared, steps_project, write

pytestmark = pytest.mark.django_db
SAID = (
    "kind",
    "ratings",
    "scores",
    "errors",
    "notes",
    "rewrites",
    "alternatives",
    "flagged",
    "gave_up",
    "seconds",
    "comment",
)


@pytest.fixture
def sums(alice, bob):
    return steps_project(alice, bob)


def exported(project):
    return [json.loads(line) for lines in export_lines(project) for line in lines]


def labels(project, source=False):
    rows = StepLabels.objects.filter(prompt__project=project).order_by("prompt__fingerprint", "kind", "source")
    return list(rows.values_list("prompt__fingerprint", *SAID, *(["source"] if source else [])))


def test_a_project_comes_back_with_every_sources_labels_and_people_as_the_files(sums, alice, bob, tmp_path):
    row = {"problem": "2 + 2?", "steps": ["2 + 2 = 5", "So 5."], "target": "4", "category": "sums"}
    import_path(sums, write(tmp_path, row | {"mistake_index": 0}, name="marked.jsonl"))
    import_path(sums, write(tmp_path, {"problem": "3 + 3?"}))
    prompt = sums.prompts.first()
    Completion.objects.update(source="starter", metadata={"seed": 1}, text="2 + 2 = 5\nSo 5.")
    Alternative.objects.create(completion=prompt.completions.get(), step=0, text="2 + 2 = 4", source="starter")
    StepLabels.objects.create(
        prompt=prompt, labeler=bob, ratings=[-1], flagged=[0], seconds=4, comment="no", rewrites={"0": {"text": "= 4"}}
    )
    machine = {"scores": [0.25, None], "errors": [0.1, None], "notes": {"0": "2 + 2 is 4"}}
    StepLabels.objects.create(prompt=prompt, kind="monte-carlo", source="starter", ratings=[1, None], **machine)
    path = write(tmp_path, *exported(sums), name="out.jsonl")
    again = import_path(sums, path)
    assert (again.added, again.known, again.bad) == (0, 2, 0)
    twin = steps_project(alice, name="Twin")
    assert import_path(twin, path).bad == 0
    names = set(StepLabels.objects.filter(prompt__project=twin).values_list("kind", "source", "labeler"))
    assert names == {
        ("import", "marked.jsonl", None),
        ("import", "out.jsonl:bob", None),
        ("monte-carlo", "starter", None),
    }
    ours, theirs = ([row[2:] for row in labels(project)] for project in (sums, twin))
    assert sorted(ours, key=str) == sorted(theirs, key=str)
    assert exported(twin)[0]["solution"] == exported(sums)[0]["solution"]
    assert {p.fingerprint for p in sums.prompts.all()} == {p.fingerprint for p in twin.prompts.all()}
    assert exported(twin)[0]["alternatives"] == [{"step": 0, "text": "2 + 2 = 4", "source": "starter"}]
    assert import_path(twin, write(tmp_path, *exported(twin), name="third.jsonl")).added == 0


@shared
@pytest.mark.parametrize("name", ["samples_prm800k.jsonl", "samples_math-shepherd.jsonl", "samples_math-aps.jsonl"])
def test_the_samples_come_back_from_an_export_unchanged(sums, alice, tmp_path, name):
    import_path(sums, SHARED / "prm-formats" / name)
    twin = steps_project(alice, name="Twin")
    import_path(twin, write(tmp_path, *exported(sums)))
    assert labels(twin, source=True) == labels(sums, source=True) and Prompt.objects.count() == 2 * sums.prompts.count()


@shared
@pytest.mark.parametrize("format", ["prm800k", "math_shepherd", "stepwise"])
def test_published_formats_hold_the_same_labels(sums, alice, tmp_path, capsys, format):
    import_path(sums, SHARED / "prm-formats/samples_math-shepherd.jsonl")
    path = tmp_path / f"{format}.jsonl"
    call_command("export", sums.slug, path, format=format, json=True)
    assert json.loads(capsys.readouterr().out) == {"path": str(path), "lines": 7}
    twin = steps_project(alice, name="Twin")
    assert import_path(twin, path).added == 7
    assert [row[:3] for row in labels(twin)] == [row[:3] for row in labels(sums)]


def test_the_page_sends_traces_in_a_published_format(client, sums, alice, tmp_path):
    import_path(sums, write(tmp_path, {"problem": "2 + 2?", "steps": ["2 + 2 = 4"], "mistake_index": None}))
    client.force_login(alice)
    page = reverse("export", args=[sums.slug])
    assert f'{page}?format=math_shepherd"' in client.get(reverse("prompts", args=[sums.slug])).content.decode()
    sent = client.get(page + "?format=math_shepherd")
    assert json.loads(sent.getvalue())["label"] == "2 + 2? Step 1: 2 + 2 = 4 +"
    assert sent["Content-Disposition"] == 'attachment; filename="sums-math_shepherd.jsonl"'
    assert json.loads(client.get(page + "?format=../x").getvalue())["steps"] == ["2 + 2 = 4"]


@shared
def test_a_frozen_dataset_downloads_in_published_formats(client, sums, alice, tmp_path):
    import_path(sums, SHARED / "bigbench-mistake/multistep_arithmetic.jsonl")
    dataset = freeze(sums, "Steps", {"sources": ["import"]}, background=False)
    client.force_login(alice)
    for name, count in (("train.prm800k.jsonl", dataset.rows_train), ("eval.math-shepherd.jsonl", dataset.rows_eval)):
        sent = client.get(reverse("dataset_file", args=[dataset.slug, name])).getvalue().decode().splitlines()
        twin = steps_project(alice, name=name)
        job = import_path(twin, write(tmp_path, *map(json.loads, sent)))
        assert (len(sent), job.added, job.bad) == (count, count, 0)
        firsts = [row[2].index(-1) for row in labels(twin) if -1 in row[2]]
        mistakes = [row["mistake_index"] for row in sample("bigbench-mistake/multistep_arithmetic.jsonl")]
        assert firsts and max(firsts) <= max(mistake or 0 for mistake in mistakes)
