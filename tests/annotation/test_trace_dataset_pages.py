"""Freezing traces from the page: sources in their order, an estimate, the report, rows with marks, files."""

import re

import pytest
from django.urls import reverse

from annotation.freezing.freeze import freeze, write
from annotation.importing.ingest import import_path
from annotation.models import Dataset, StepLabels
from annotation.views.trace_datasets import CONVERTED
from tests.annotation.traces import steps_project
from tests.annotation.traces import write as file

pytestmark = pytest.mark.django_db


@pytest.fixture
def sums(alice, bob, tmp_path):
    """Six problems with a marked solution each; bob says the opposite of the first."""
    made = steps_project(alice, bob)
    rows = [
        {"problem": f"{n} + 1?", "steps": [f"Take {n}.", "So <b>x</b>."], "target": "x", "mistake_index": n % 2}
        for n in range(6)
    ]
    import_path(made, file(tmp_path, *rows, name="marked.jsonl"))
    StepLabels.objects.create(prompt=made.prompts.first(), labeler=bob, ratings=[1, 1])
    return made


@pytest.fixture
def page(client, sums, alice):
    client.force_login(alice)
    return reverse("dataset_new", args=[sums.slug])


def form(**fields):
    said = {"name": "Steps", "shape": "stepwise", "labels": "hard", "policy": "all", "neutral": "good"}
    return said | {"outcome": "answer", "eval_percent": 20, "seed": 42, "others": "on"} | fields


def test_sources_are_offered_by_name_and_frozen_in_their_order(client, page, sums):
    shown = client.get(page)
    assert [name for _, name, _ in shown.context["form"].places()] == ["people", "import:marked.jsonl"]
    response = client.post(page, form(place_0="2", place_1="1", policy="first_error"))
    dataset = Dataset.objects.get()
    assert response.url == dataset.get_absolute_url() and dataset.shape == "stepwise"
    assert dataset.options["sources"] == ["import:marked.jsonl", "people"]
    assert (dataset.options["policy"], dataset.options["others"]) == ("first_error", True)


def test_the_estimate_follows_the_choice(client, page):
    def about(**fields):
        text = client.get(page, form(**fields), headers={"HX-Request": "true"}).content.decode()
        return " ".join(re.sub(r"<[^>]+>", " ", text).split())

    assert about(place_0="1").startswith("This would read 1 solution of 1 problem, labeled 1 time A dataset needs")
    assert about(place_1="1") == "This would read 6 solutions of 6 problems, labeled 6 times"
    assert about(place_0="1", place_1="2") == "This would read 6 solutions of 6 problems, labeled 7 times"
    assert about(shape="outcome", place_0="1") == "This would read 6 solutions of 6 problems"


def test_too_few_problems_are_told_on_the_page(client, page):
    response = client.post(page, form(place_0="1"))
    assert "A dataset needs rows of at least 2 problems" in response.content.decode() and not Dataset.objects.exists()


def test_the_dataset_page_shows_marks_the_report_and_where_rows_come_from(client, page, sums):
    dataset = freeze(sums, "Steps", {"sources": ["people", "import"]}, background=False)
    shown = client.get(dataset.get_absolute_url())
    text = shown.content.decode()
    row = shown.context["rows"][0]
    assert row["steps"][0]["rating"] in (1, -1) and "So &lt;b&gt;x&lt;/b&gt;." in text
    assert reverse("prompt", args=[sums.slug, row["prompt_id"]]) + f"#labels-{row['step_labels']}" in text
    for said in ("First bad step", "people, then import", "import:marked.jsonl", "train.prm800k.jsonl"):
        assert said in text
    assert "Where sources contradict each other" in text and dataset.report["contradictions"] == 1


def test_an_outcome_dataset_shows_right_and_wrong(client, page, sums):
    client.post(page, form(shape="outcome", outcome="steps", place_1="1"))
    dataset = Dataset.objects.get()
    write(dataset)
    dataset.refresh_from_db()
    assert (dataset.status, dataset.report["rows"], dataset.report["bad"]) == ("ready", 6, 6)
    assert "Every label is the same." in client.get(dataset.get_absolute_url()).content.decode()
    answers = freeze(sums, "Answers", {}, background=False, shape="outcome")
    text = client.get(answers.get_absolute_url()).content.decode()
    assert "wrong" in text and "right when the final answer is the reference" in text and "prm800k" not in text
    missing = client.get(reverse("dataset_file", args=[answers.slug, "train.prm800k.jsonl"]))
    assert missing.status_code == 404


def test_files_in_other_formats_are_sent_by_name_alone(client, page, sums):
    dataset = freeze(sums, "Steps", {"sources": ["import"]}, background=False)
    for name in CONVERTED:
        sent = client.get(reverse("dataset_file", args=[dataset.slug, name]))
        assert sent.status_code == 200 and sent.getvalue().count(b"\n") in (dataset.rows_train, dataset.rows_eval)
    assert client.get(reverse("dataset_file", args=[dataset.slug, "train.csv"])).status_code == 404


def test_a_labeler_sees_no_dataset(client, sums, bob):
    dataset = freeze(sums, "Steps", {"sources": ["import"]}, background=False)
    client.force_login(bob)
    assert client.get(dataset.get_absolute_url()).status_code == 404
    assert client.get(reverse("dataset_file", args=[dataset.slug, "train.prm800k.jsonl"])).status_code == 404
