"""A model is traced back to what made it, down to the people who ranked."""

import pytest

from annotation.models import Dataset
from training.lineage import lineage
from training.models import ModelVersion, TrainingJob


@pytest.fixture
def starter(db):
    return ModelVersion.objects.create(name="Starter", slug="starter-v1", source="owner/starter")


@pytest.fixture
def make_trained(project, alice, bob, starter):
    def make(name, base=starter, dataset=None, labelers=None):
        labelers = labelers or {str(alice.pk): 9, str(bob.pk): 1, "None": 4}
        report = {"labelers": labelers, "sources": {"page": 8, "comparison": 2}}
        dataset = dataset or Dataset.objects.create(
            project=project, slug=name.lower(), name=f"{name} pairs", status="ready", ranking_count=10,
            rows_train=20, rows_eval=4, report=report,
        )  # fmt: skip
        job = TrainingJob.objects.create(
            name=name, project=project, dataset=dataset, recipe="dpo", base_model=base, status="succeeded"
        )
        slug = f"{name.lower()}-v1"
        made = ModelVersion.objects.create(name=name, slug=slug, project=project, base=base, source=job.run_dir)
        TrainingJob.objects.filter(pk=job.pk).update(model=made)
        return made

    return make


def labels(drawn, kind):
    return [node["label"] for node in drawn.nodes if node["kind"] == kind]


def sources_of(drawn, label):
    keys = {node["key"]: node["label"] for node in drawn.nodes}
    return {keys[a] for a, b in drawn.edges if keys[b] == label}


def test_a_trained_model_leads_back_to_its_labelers(make_trained):
    drawn = lineage(make_trained("Polite"))
    assert sources_of(drawn, "Polite v1") == {"Polite"}
    assert sources_of(drawn, "Polite") == {"Polite pairs", "Starter v1"}
    assert sources_of(drawn, "Polite pairs") == {"10 rankings"}
    assert sources_of(drawn, "10 rankings") == {"alice", "bob", "arrived ranked"}
    details = {node["label"]: node["detail"] for node in drawn.nodes}
    assert details["bob"] == "1 pair" and details["10 rankings"] == "8 pairs from the ranking page, 2 from comparisons"
    assert all(node["url"] for node in drawn.nodes if node["kind"] != "labeler")


def test_a_model_trained_on_a_trained_model_shows_both_trainings(make_trained):
    first = make_trained("Sft")
    second = make_trained("Dpo", base=first, dataset=first.job.dataset)
    drawn = lineage(second)
    assert set(labels(drawn, "model")) == {"Dpo v1", "Sft v1", "Starter v1"}
    assert len(labels(drawn, "dataset")) == 1 and sources_of(drawn, "Dpo") == {"Sft v1", "Sft pairs"}


def test_a_registered_model_is_its_own_origin(starter):
    drawn = lineage(starter)
    assert drawn.as_json() == {
        "nodes": [
            {"key": f"model-{starter.pk}", "kind": "model", "label": "Starter v1", "detail": "owner/starter",
             "url": "/models/starter-v1/"}
        ],
        "edges": [],
    }  # fmt: skip


def test_a_stopped_version_keeps_its_origin_when_its_job_goes_on(make_trained):
    early = make_trained("Polite")
    late = ModelVersion.objects.create(name="Polite", version=2, slug="polite-v2", source=early.source, base=early.base)
    TrainingJob.objects.filter(model=early).update(model=late)
    assert labels(lineage(early), "job") == labels(lineage(late), "job") == ["Polite"]


def test_a_crowd_of_labelers_is_drawn_as_a_few_and_the_rest(make_trained):
    drawn = lineage(make_trained("Polite", labelers={str(n): 1 for n in range(1000, 1040)}))
    assert len(labels(drawn, "labeler")) == 13 and "28 more labelers" in labels(drawn, "labeler")
