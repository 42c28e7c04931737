"""The import page of a project of traces: the cut is chosen and seen before anything lands."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from annotation.importing.ingest import run_import
from annotation.models import Completion, Import
from tests.annotation.traces import steps_project

pytestmark = pytest.mark.django_db
SOLVED = {"problem": "p?", "completion": "One.\nTwo.\n\nThree."}
MARKED = {"problem": "2 + 2 * 2?", "steps": ["2 + 2 = 4", "So <b>8</b>."], "mistake_index": 0}


@pytest.fixture
def sums(alice):
    return steps_project(alice)


@pytest.fixture
def preview(client, sums, alice):
    client.force_login(alice)

    def send(*rows, project=sums):
        lines = "\n".join(map(json.dumps, rows)).encode()
        page = reverse("import_new", args=[project.slug])
        return client.post(page, {"file": SimpleUploadedFile("rows.jsonl", lines)}).url

    return send


def steps_of(response):
    return [[step["text"] for step in found["steps"]] for found in response.context["look"]["found"]]


def test_whole_solutions_are_shown_cut_and_the_rule_changes_the_cut_at_once(client, preview, sums):
    address = preview(SOLVED)
    first = client.get(address)
    assert steps_of(first) == [["One.\nTwo.", "Three."]] and b"Cut solutions" in first.content
    chosen = client.get(address + "&shape=solutions&mapped=solutions&prompt=problem&solution=completion&rule=line")
    assert steps_of(chosen) == [["One.", "Two.", "Three."]]
    said = {"upload": first.context["upload"], "shape": "solutions", "mapped": "solutions"}
    said |= {"prompt": "problem", "solution": "completion", "rule": "line"}
    client.post(address.split("?")[0], said)
    run_import(Import.objects.get())
    assert Completion.objects.get().steps == ["One.", "Two.", "Three."]


def test_labels_are_shown_beside_their_steps_and_texts_stay_texts(client, preview):
    response = client.get(preview(MARKED))
    steps = response.context["look"]["found"][0]["steps"]
    assert [step["rating"] for step in steps] == [-1, None]
    assert b"So &lt;b&gt;8&lt;/b&gt;." in response.content and b"not labeled" in response.content


def test_what_labels_mean_can_be_chosen(client, preview):
    address = preview({"problem": "p?", "steps": ["a", "b"], "labels": [1, 0]})
    guessed = client.get(address)
    assert b"Labels are" in guessed.content
    mapping = "&shape=traces&mapped=traces&prompt=problem&steps=steps&labels=labels&scale=ratings"
    chosen = client.get(address + mapping).context["look"]["found"][0]["steps"]
    assert [step["rating"] for step in chosen] == [1, 0]


def test_only_shapes_of_traces_are_offered_and_other_rows_are_told_where_they_belong(client, preview, project):
    pairs = client.get(preview({"prompt": "Hi?", "chosen": "a", "rejected": "b"}))
    assert "project of kind ranking" in pairs.context["look"]["trouble"]
    assert "preference" not in pairs.context["shapes"] and "prm800k" in pairs.context["shapes"]
    traces = client.get(preview(MARKED, project=project))
    assert "project of kind steps" in traces.context["look"]["trouble"] and "prm800k" not in traces.context["shapes"]


def test_one_who_wants_a_column_as_a_prompt_all_the_same_can_have_it(client, preview, project):
    asked = client.get(preview(MARKED, project=project) + "&shape=prompts&mapped=prompts&prompt=problem")
    assert asked.context["look"]["trouble"] == "" and len(asked.context["look"]["found"]) == 1
