"""Launching on labeled steps: what is offered for them, what their check shows, what the engine refuses."""

import re

import pytest

from annotation.models import Dataset, Project
from annotation.store import store
from tests.reading import text
from tests.training.recipes.conftest import planted_traces, write_rows
from tests.training.test_settings_form import posted
from training.jobs import BadJob, launch
from training.launch_form import SettingsForm, preset
from training.models import ModelVersion, Preflight
from training.report import digest

pytest_plugins = ["tests.training.launching"]


@pytest.fixture
def traces(project, alice):
    """A frozen dataset of labeled steps."""
    fields = {"status": "ready", "rows_train": 24, "rows_eval": 4, "shape": "stepwise", "created_by": alice}
    made = Dataset.objects.create(project=project, slug="steps", name="Labeled steps", **fields)
    write_rows(store().work(made.folder) / "train.jsonl", planted_traces(24))
    write_rows(store().work(made.folder) / "eval.jsonl", planted_traces(4, seed=1))
    return made


def test_a_check_of_traces_shows_where_labels_are_learned_and_launches(client, form, traces, checked):
    settings = posted(SettingsForm("prm", initial=preset("prm", "smoke") | {"max_length": 60}))
    found = checked(dataset=traces.pk, recipe="prm", shown="prm ", **settings)
    assert found.status == "ready" and found.report["errors"] == []
    html = text(client.get(f"/train/new/?check={found.pk}"))
    assert "24 of 24 rows of train.jsonl are longer than max_length 60 tokens and would be read in overlapping" in html
    pieces = [piece for piece in digest(found.report)["examples"][0] if piece["side"] == "trace"]
    assert pieces[0]["learned"] == 4


def test_a_recipe_is_offered_the_datasets_whose_rows_it_reads(client, form, traces):
    assert "Labeled steps" not in text(client.get("/train/new/?recipe=dpo"))
    html = text(client.get("/train/new/?recipe=prm"))
    assert "Labeled steps" in html and "Polite pairs" not in html and "step_separator" in html
    assert "no frozen dataset with rows that orm reads" in text(client.get("/train/new/?recipe=orm"))
    assert client.post("/train/new/", form(dataset=traces.pk)).status_code == 422
    assert not Preflight.objects.exists()


def test_a_dataset_or_a_project_of_steps_brings_its_recipe(client, form, project, traces):
    assert re.search(r'value="prm" selected', text(client.get(f"/train/new/?dataset={traces.pk}")))
    assert re.search(r'value="dpo" selected', text(client.get(f"/train/new/?project={project.pk}")))
    Project.objects.filter(pk=project.pk).update(kind="steps")
    assert re.search(r'value="prm" selected', text(client.get(f"/train/new/?project={project.pk}")))


def test_a_scorer_of_steps_starts_from_a_policy_or_goes_on_from_one_of_its_kind(client, form, make_model, traces):
    make_model(name="Score", slug="score-v1", makes="reward_model")
    make_model(name="Judge", slug="judge-v1", makes="process_reward_model")
    html = text(client.get("/train/new/?recipe=prm"))
    assert "Judge v1" in html and "Tiny v1" in html and "Score v1" not in html
    assert "Judge v1" not in text(client.get("/train/new/?recipe=dpo"))


def test_the_engine_refuses_rows_of_another_shape_and_says_what_they_are_for(alice, traces, pairs_dataset, chat_model):
    with pytest.raises(BadJob, match="dpo cannot read Labeled steps: its rows are stepwise. They are for prm"):
        launch(alice, traces, "dpo", chat_model)
    Dataset.objects.filter(pk=pairs_dataset.pk).update(rows_train=5)
    pairs_dataset.refresh_from_db()
    with pytest.raises(BadJob, match="prm cannot read Polite pairs: its rows are pairs. They are for sft, reward"):
        launch(alice, pairs_dataset, "prm", chat_model)
    assert launch(alice, traces, "prm", chat_model, {"max_steps": 1}).settings["step_separator"] == r"\n\n"


def test_a_separator_with_line_breaks_comes_back_from_the_form_as_it_was(client, form, traces, make_job):
    settings = {"step_separator": "\n"}
    job = make_job(
        recipe_name="prm", settings=settings, dataset=traces, base_model=ModelVersion.objects.get(slug="tiny-v1")
    )
    assert r'name="set-step_separator" value="\n"' in text(client.get(f"/train/new/?from={job.pk}"))
