"""The REST API does what the pages do, for whoever holds a token, and no more."""

import json
import uuid

import pytest

from annotation.models import Dataset, Import, Membership, Ranking, StepLabels
from studio.models import ApiToken
from tests.live import streamed
from training.models import ModelVersion

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def api(client):
    """Call the API as a person: api(alice, "get", "/projects")."""

    def call(person, method, path, body=None, **headers):
        _, token = ApiToken.issue(person, "test")
        headers = {"Authorization": f"Bearer {token}"} | headers
        arguments = {"data": json.dumps(body), "content_type": "application/json"} if body is not None else {}
        return getattr(client, method)(f"/api/v1{path}", headers=headers, **arguments)

    return call


def test_without_a_token_nothing_is_told(client, project):
    assert client.get("/api/v1/projects").status_code == 401
    assert client.get("/api/v1/projects", headers={"Authorization": "Bearer st-guess"}).status_code == 401


def test_a_person_sees_her_projects_alone(api, project, bob, carol):
    assert [p["slug"] for p in api(bob, "get", "/projects").json()] == [project.slug]
    assert api(carol, "get", "/projects").json() == []
    assert api(carol, "get", f"/projects/{project.slug}").status_code == 404


def test_ranking_over_the_api(api, project, prompt, bob):
    task = api(bob, "get", f"/projects/{project.slug}/next").json()
    ranks = {completion["id"]: place for place, completion in enumerate(task["completions"], 1)}
    path, key = f"/prompts/{task['prompt']['id']}/ranking", {"Idempotency-Key": task["key"]}
    first = api(bob, "post", path, {"ranks": ranks, "seconds": 4}, **key)
    again = api(bob, "post", path, {"ranks": ranks, "seconds": 4}, **key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"] and Ranking.objects.count() == 1
    assert api(bob, "get", f"/projects/{project.slug}/next").status_code == 204


def test_a_bad_ranking_names_the_field(api, project, prompt, bob):
    reply = api(bob, "post", f"/prompts/{prompt.pk}/ranking", {"ranks": {}})
    assert reply.status_code == 422 and "no rank yet" in json.dumps(reply.json())


def test_the_last_label_is_given_once(api, project, prompt, alice, bob):
    completions = list(prompt.completions.values_list("pk", flat=True))
    body = {"ranks": dict.fromkeys(completions, 1)}
    assert api(alice, "post", f"/prompts/{prompt.pk}/ranking", body).status_code == 201
    assert api(bob, "post", f"/prompts/{prompt.pk}/ranking", body).status_code == 409


def test_marking_steps_over_the_api(api, traces, trace, bob):
    traces.proposals = ["verifier:arithmetic"]
    traces.save()
    StepLabels.objects.create(prompt=trace, kind="verifier", source="arithmetic", ratings=[1, -1])
    task = api(bob, "get", f"/projects/{traces.slug}/next").json()
    assert [step["text"] for step in task["steps"]] == trace.completions.get().steps
    said = {"ratings": [1, -1, None], "proposals": task["proposals"], "rewrites": {"1": "12 + 5 = 17"}, "seconds": 4}
    path, key = f"/prompts/{task['prompt']['id']}/steps", {"Idempotency-Key": task["key"]}
    refused = api(bob, "post", path, said, **key)
    assert refused.status_code == 422 and refused.json()["detail"] == {"step_2": "Step 3 is not marked."}
    said["ratings"][2] = 0
    first, again = (api(bob, "post", path, said, **key) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    labels = StepLabels.objects.by_people().get(pk=first.json()["id"])
    assert (labels.kind, labels.ratings) == ("api", [1, -1, 0])
    assert labels.proposed == {"verifier:arithmetic": {"0": "accepted", "1": "accepted"}}
    assert api(bob, "get", f"/projects/{traces.slug}/next").status_code == 204


def test_each_kind_of_label_is_for_its_own_kind_of_project(api, prompt, trace, bob, carol):
    assert api(bob, "post", f"/prompts/{prompt.pk}/steps", {"ratings": [1]}).status_code == 404
    assert api(bob, "post", f"/prompts/{trace.pk}/ranking", {"ranks": {}}).status_code == 404
    assert api(carol, "post", f"/prompts/{trace.pk}/steps", {"ratings": [1, 1, 1]}).status_code == 404
    reply = api(bob, "post", f"/prompts/{trace.pk}/steps", {"ratings": [1, 5, 1, 1]})
    assert set(reply.json()["detail"]) == {"step_1", "ratings"}


def test_a_labeler_cannot_freeze_or_import(api, project, bob):
    assert api(bob, "post", f"/projects/{project.slug}/freeze", {"name": "mine"}).status_code == 403


def test_import_takes_a_file_and_says_how_it_went(client, project, alice, tmp_path):
    _, token = ApiToken.issue(alice, "test")
    auth = {"Authorization": f"Bearer {token}"}
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "Why?", "completions": ["Because.", "Why not?"]}\n{"prompt": 7}\n')
    with file.open("rb") as handle:
        reply = client.post(f"/api/v1/projects/{project.slug}/import", {"file": handle}, headers=auth)
    assert reply.status_code == 202, reply.content
    from annotation.importing.ingest import run_import

    run_import(Import.objects.get())
    report = client.get(f"/api/v1/imports/{reply.json()['id']}", headers=auth).json()
    assert (report["status"], report["added"], report["bad"]) == ("succeeded", 1, 1)


def test_freezing_too_little_is_refused_in_words(api, project, prompt, alice):
    reply = api(alice, "post", f"/projects/{project.slug}/freeze", {"name": "early"})
    assert reply.status_code == 422 and "at least 2 prompts" in reply.json()["detail"]


def test_traces_freeze_in_the_shape_and_with_the_sources_asked_for(api, alice, tmp_path):
    from annotation.importing.ingest import import_path
    from tests.annotation.traces import steps_project, write

    sums = steps_project(alice)
    rows = [{"problem": f"{n} + 1?", "steps": [f"So {n}."], "target": f"{n + 1}", "mistake_index": 0} for n in range(4)]
    import_path(sums, write(tmp_path, *rows))
    address = f"/projects/{sums.slug}/freeze"
    told = api(alice, "post", address, {"name": "a", "options": {"sources": ["import"]}}).json()
    assert (told["shape"], told["options"]["sources"], told["status"]) == ("stepwise", ["import"], "freezing")
    assert api(alice, "post", address, {"name": "b", "shape": "outcome"}).json()["shape"] == "outcome"
    for body, why in (({"shape": "pairs"}, "not as pairs"), ({"options": {"sources": 3}}, "sources is a list")):
        reply = api(alice, "post", address, {"name": "c"} | body)
        assert reply.status_code == 422 and why in reply.json()["detail"]


def test_dataset_rows_stream_as_json_lines(api, make_prompt, project, alice, carol):
    from annotation.freezing.freeze import freeze
    from annotation.ranking import submit_ranking

    for number in range(4):
        prompt = make_prompt(f"Question {number}?")
        ranks = {pk: place for place, pk in enumerate(prompt.completions.values_list("pk", flat=True), 1)}
        submit_ranking(prompt, alice, {"ranks": ranks}, uuid.uuid4())
    frozen = freeze(project, "First", {"eval_share": 0.25}, alice, background=False)
    reply = api(alice, "get", f"/datasets/{frozen.slug}/rows?split=train")
    rows = [json.loads(line) for line in streamed(reply).splitlines()]
    assert len(rows) == frozen.rows_train and set(rows[0]) >= {"prompt", "chosen", "rejected"}
    assert api(carol, "get", f"/datasets/{frozen.slug}/rows").status_code == 404
    assert Dataset.objects.count() == 1


def test_a_job_with_nonsense_settings_is_refused(api, project, alice, bob):
    from training.models import ModelVersion

    Dataset.objects.create(project=project, slug="d", name="d", status="ready", rows_train=4, rows_eval=1)
    ModelVersion.objects.create(name="m", version=1, slug="m-v1")
    body = {"recipe": "dpo", "dataset": "d", "model": "m-v1", "settings": {"beta": -1}}
    reply = api(alice, "post", "/jobs", body)
    assert reply.status_code == 422 and "beta" in reply.json()["detail"]
    Membership.objects.filter(user=bob).update(role="reviewer")
    assert api(bob, "post", "/jobs", body).status_code == 403


def test_a_job_says_where_it_runs(api, project, alice):
    from django.utils import timezone

    from studio.models import WorkerBeat
    from training.models import ModelVersion

    Dataset.objects.create(project=project, slug="d", name="d", status="ready", rows_train=4, rows_eval=1)
    ModelVersion.objects.create(name="m", version=1, slug="m-v1")
    WorkerBeat.objects.create(name="t@gpu", queue="gpu", seen=timezone.now())
    body = {"recipe": "dpo", "dataset": "d", "model": "m-v1"}
    usual = api(alice, "post", "/jobs", body).json()
    there = api(alice, "post", "/jobs", body | {"executor": "accelerate:4", "queue": "gpu"}).json()
    assert [(job["executor"], job["queue"]) for job in (usual, there)] == [("local", "train"), ("accelerate:4", "gpu")]
    for wrong, says in (
        ({"executor": "slurm"}, "no executor 'slurm'"),
        ({"queue": "nowhere"}, "choose one of train, gpu"),
    ):
        reply = api(alice, "post", "/jobs", body | wrong)
        assert reply.status_code == 422 and says in reply.json()["detail"]


def test_a_search_is_queued_and_read(api, alice, bob, carol):
    for name, makes in (("small", "policy"), ("prm", "process_reward_model")):
        ModelVersion.objects.create(name=name, version=1, slug=f"{name}-v1", makes=makes)
    body = {"policy": "small-v1", "scorer": "prm-v1", "strategy": "beam", "problem": "2 + 2?", "reference": "4"}
    made = api(bob, "post", "/searches", body | {"settings": {"n": 4, "budget": 100}})
    assert made.status_code == 202
    found = api(bob, "get", f"/searches/{made.json()['id']}").json()
    assert (found["status"], found["policy"], found["scorer"], found["total"]) == ("queued", "small-v1", "prm-v1", 100)
    assert found["settings"]["n"] == 4 and found["result"] is None
    assert api(carol, "get", f"/searches/{found['id']}").status_code == 404
    refused = api(bob, "post", "/searches", body | {"scorer": ""})
    assert refused.status_code == 422 and "needs a scorer" in refused.json()["detail"]
    assert "beams: no such setting" in api(bob, "post", "/searches", body | {"settings": {"beams": 1}}).json()["detail"]


def test_the_api_describes_itself(client, alice):
    client.force_login(alice)
    schema = client.get("/api/v1/openapi.json").json()
    assert {"/api/v1/prompts/{pk}/ranking", "/api/v1/prompts/{pk}/steps"} <= set(schema["paths"])
