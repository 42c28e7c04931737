"""Frozen prompts: what a policy answers and rewards read, from import to page, the same again for the same prompts."""

import json

import pytest
from django.core.management import call_command
from django.urls import reverse

from annotation.freezing.freeze import NotFrozen, freeze, write
from annotation.importing.shapes import items
from annotation.models import Prompt
from annotation.store import store
from studio.models import ApiToken
from training.rewards import Mix, parse

pytestmark = pytest.mark.django_db


@pytest.fixture
def asked(make_prompt):
    """Twenty prompts nobody has labeled; a puzzle and tests among them, two without a reference."""
    made = [make_prompt(f"What is {n} + {n}?", (), reference=str(2 * n)) for n in range(17)]
    tests = [{"call": "f(1)", "returns": "2"}]
    made.append(make_prompt("Write f.", (), metadata={"tests": tests, "entry_point": "f", "id": 7}))
    made.append(make_prompt("Jugs.", (), metadata={"puzzle": {"kind": "water_jugs", "sizes": [3, 5], "goal": 2}}))
    return [*made, make_prompt("Grün?", (), reference="ja – „sí“")]


def now(project, **options):
    return freeze(project, "Prompts", options, background=False, shape="prompts")


def rows(dataset, *splits):
    lines = [
        line
        for split in splits or ("train", "eval")
        for line in store().fetch(f"{dataset.folder}/{split}.jsonl").open()
    ]
    return [json.loads(line) for line in lines]


def test_every_prompt_is_a_row_with_its_reference_and_what_rewards_read(project, asked):
    dataset = now(project, eval_share=0.3)
    found = {row["prompt"][0]["content"]: row for row in rows(dataset)}
    assert (dataset.shape, dataset.status, len(found)) == ("prompts", "ready", 20) and dataset.rows_eval
    assert found["What is 3 + 3?"]["reference"] == "6" and found["Grün?"]["reference"] == "ja – „sí“"
    assert found["Write f."]["tests"] == '[{"call": "f(1)", "returns": "2"}]' and "id" not in found["Write f."]
    assert dataset.report["referenced"] == 18 and dataset.report["columns"] == {
        "tests": 1,
        "entry_point": 1,
        "puzzle": 1,
    }
    assert not {row["prompt_id"] for row in rows(dataset, "train")} & {
        row["prompt_id"] for row in rows(dataset, "eval")
    }


def test_rewards_read_the_rows_as_they_are(project, asked):
    found = {row["prompt"][0]["content"]: row for row in rows(now(project))}
    row = found["Jugs."]
    scored = Mix(parse("logic"))([row["prompt"]], ["fill B\npour B A"], puzzle=[row["puzzle"]])
    assert scored[0].total == 1


def test_parquet_holds_the_same_columns(project, asked):
    import pyarrow.parquet as pq

    dataset = now(project)
    table = pq.read_table(store().fetch(f"{dataset.folder}/train.parquet")).to_pylist()
    assert [row["reference"] for row in table] == [row["reference"] for row in rows(dataset, "train")]
    assert {"tests", "puzzle", "prompt_id"} <= table[0].keys()


def test_the_same_prompts_give_the_same_dataset_and_another_reference_a_new_one(project, asked):
    first = now(project)
    assert now(project).pk == first.pk and now(project).again
    asked[0].reference = "nought"
    asked[0].save()
    assert now(project).fingerprint != first.fingerprint


def test_prompts_without_a_reference_can_be_left_out(project, asked):
    dataset = now(project, unreferenced=False)
    assert len(rows(dataset)) == 18 and all(row["reference"] for row in rows(dataset))


def test_traces_of_one_problem_are_one_prompt(project):
    project.kind = "steps"
    project.save()
    for number in range(6):
        text = f"Problem {number // 2}"
        fields = {"messages": [{"role": "user", "content": text}], "text": text, "reference": "1"}
        Prompt.objects.create(project=project, fingerprint=f"f{number}", problem=f"p{number // 2}", **fields)
    assert sorted(row["prompt"][0]["content"] for row in rows(now(project))) == ["Problem 0", "Problem 1", "Problem 2"]


def test_too_few_prompts_and_wrong_options_say_so(project, make_prompt):
    with pytest.raises(NotFrozen, match="here are none"):
        now(project)
    make_prompt(completions=())
    with pytest.raises(NotFrozen, match="here is 1 prompt"):
        now(project)
    with pytest.raises(NotFrozen, match="Unknown option 'margin'"):
        now(project, margin=True)


def test_an_imported_row_keeps_what_rewards_read_beside_its_prompt():
    row = {"prompt": "Write f.", "tests": ["assert f(1) == 2"], "entry_point": "f", "note": "x", "setup": ""}
    (item,) = items(row, {"shape": "prompts", "prompt": "prompt", "reference": None, "criterion": None})
    assert item.metadata == {"tests": ["assert f(1) == 2"], "entry_point": "f"}


def test_the_page_freezes_prompts_without_any_label_and_shows_them(client, alice, project, asked):
    client.force_login(alice)
    address = reverse("dataset_new", args=[project.slug])
    text = client.get(f"{address}?shape=prompts").content.decode()
    assert "Freeze the prompts" in text and "20 prompts" in text and "18 of them" in text
    estimate = client.get(address, {"shape": "prompts", "referenced": "on"}, headers={"HX-Request": "true"})
    assert "18 prompts" in estimate.content.decode()
    said = {"name": "Sums", "shape": "prompts", "eval_percent": 20, "seed": 1}
    assert client.post(address, said).status_code == 302
    dataset = project.datasets.get()
    assert (dataset.shape, dataset.options["eval_share"]) == ("prompts", 0.2)
    write(dataset)
    page = client.get(dataset.get_absolute_url()).content.decode()
    assert "with a reference" in page and "What is" in page and "to train on" in page
    assert f"{address}?shape=prompts" in client.get(project.get_absolute_url()).content.decode()


def test_the_api_and_the_command_freeze_prompts(client, alice, project, asked, capsys):
    call_command("freeze", project.slug, "Sums", "--shape", "prompts", "--referenced", "--json", "--user", "alice")
    assert json.loads(capsys.readouterr().out)["rows_train"]
    headers = {"Authorization": f"Bearer {ApiToken.issue(alice, 'test')[1]}"}
    address, body = f"/api/v1/projects/{project.slug}/freeze", {"name": "Sums", "shape": "prompts"}
    assert client.post(address, body, content_type="application/json", headers=headers).status_code == 202
    assert project.datasets.filter(shape="prompts").count() == 2


def test_human_evals_own_columns_are_read():
    row = {"prompt": "def f(x):\n", "test": "def check(candidate):\n    assert candidate(1) == 2\n", "entry_point": "f"}
    (item,) = items(row, {"shape": "prompts", "prompt": "prompt", "reference": None, "criterion": None})
    assert item.metadata == {"tests": row["test"], "entry_point": "f"}
