"""Machines are set to label steps over the REST API and by the command, by whoever may do it on the pages."""

import json
from io import StringIO

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import CommandError

from annotation.models import Membership, StepLabels
from studio.models import ApiToken
from training.labeling import runs
from training.models import ModelVersion, StepLabelRun

pytestmark = pytest.mark.django_db(transaction=True)
VERIFY = {"kind": "verifier"}


@pytest.fixture
def api(client):
    def call(person, method, path, body=None):
        _, token = ApiToken.issue(person, "test")
        arguments = {"data": json.dumps(body), "content_type": "application/json"} if body is not None else {}
        reply = getattr(client, method)(f"/api/v1{path}", headers={"Authorization": f"Bearer {token}"}, **arguments)
        return reply.status_code, reply.json()

    return call


@pytest.fixture
def path(traces, trace):
    return f"/projects/{traces.slug}/step-labels"


@pytest.fixture
def read():
    """Run the verb with --json; the one value it prints."""
    get_user_model().objects.create_superuser("root", "", "a long password")

    def read(*words):
        said = StringIO()
        call_command("label", *map(str, words), "--json", stdout=said, stderr=StringIO())
        return json.loads(said.getvalue())

    return read


def test_a_run_is_queued_followed_and_listed(api, path, alice):
    status, made = api(alice, "post", path, VERIFY | {"name": "sums"})
    assert (status, made["status"], made["source"], made["total"]) == (202, "queued", "verifier:sums", 1)
    assert made["settings"] == {"verifier": "arithmetic", "which": "all", "most": None, "again": ""}
    runs.run_labeling(StepLabelRun.objects.get(pk=made["id"]))
    status, found = api(alice, "get", f"/step-labels/{made['id']}")
    assert (status, found["status"], found["done"], found["eta"]) == (200, "succeeded", 1, None)
    assert (found["report"]["good"], found["report"]["bad"]) == (1, 1)
    assert StepLabels.objects.get().ratings == [1, -1, None]
    assert api(alice, "get", path) == (200, [found])


def test_a_run_is_cancelled(api, path, alice):
    _, made = api(alice, "post", path, VERIFY)
    status, stopped = api(alice, "post", f"/step-labels/{made['id']}/cancel")
    assert (status, stopped["status"]) == (200, "cancelled")


def test_outsiders_find_nothing_and_a_reviewer_may_not(api, path, traces, project, alice, bob, carol):
    _, made = api(alice, "post", path, VERIFY)
    Membership.objects.filter(user=bob, project=traces).update(role="reviewer")
    asked = [("get", path, None), ("post", path, VERIFY)]
    asked += [("get", f"/step-labels/{made['id']}", None), ("post", f"/step-labels/{made['id']}/cancel", None)]
    for words in asked:
        assert (api(carol, *words)[0], api(bob, *words)[0]) == (404, 403)
    assert StepLabelRun.objects.get().status == "queued"
    assert api(alice, "get", "/step-labels/0")[0] == 404
    assert api(alice, "post", f"/projects/{project.slug}/step-labels", VERIFY)[0] == 404, "it ranks, it has no steps"


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({"kind": "guess"}, "kind", "There is no kind 'guess'"),
        ({"settings": {"verifier": "luck"}}, "verifier", "choose one of arithmetic, tests"),
        ({"settings": {"verifier": ["arithmetic"]}}, "verifier", "should be text"),
        ({"settings": {"luck": 1}}, "luck", "no such setting"),
        ({"which": "some"}, "which", "choose one of all"),
        ({"again": "yes"}, "again", "choose one of replace, add"),
        ({"most": 0}, "most", "1 or more"),
        ({"kind": "monte-carlo"}, "model", "Choose the model"),
        ({"kind": "monte-carlo", "settings": {"n": 2.5}}, "n", "should be a whole number"),
        ({"kind": "monte-carlo", "settings": {"n": True}}, "n", "should be a whole number"),
        ({"kind": "monte-carlo", "settings": {"n": 0}}, "n", "from 1 to 128"),
        ({"kind": "model", "settings": {"threshold": "nan"}}, "threshold", "should be a number"),
        ({"kind": "model", "settings": {"threshold": 10**400}}, "threshold", "should be a number"),
        ({"kind": "consensus", "settings": {"sources": 3}}, "sources", "should be a list"),
        ({"kind": "consensus", "settings": {"sources": ["a:\0", "b:\ud800"]}}, "sources", "no labels by this name"),
        ({"kind": "monte-carlo", "model": "prm-v1"}, "model", "cannot do this"),
    ],
)
def test_a_bad_setting_is_named(api, path, alice, body, field, says):
    ModelVersion.objects.create(name="prm", slug="prm-v1", makes="process_reward_model")
    status, said = api(alice, "post", path, VERIFY | body)
    assert status == 422 and list(said["detail"]) == [field] and says in said["detail"][field]
    assert not StepLabelRun.objects.exists()


def test_labels_there_are_replaced_only_when_that_is_said(api, path, alice):
    _, made = api(alice, "post", path, VERIFY)
    assert list(api(alice, "post", path, VERIFY)[1]["detail"]) == ["name"], "one at a time"
    runs.run_labeling(StepLabelRun.objects.get(pk=made["id"]))
    status, said = api(alice, "post", path, VERIFY)
    assert status == 422 and "has labeled 1 trace here" in said["detail"]["again"]
    assert api(alice, "post", path, VERIFY | {"again": "replace"})[0] == 202


def test_an_unknown_model_is_not_found(api, path, alice):
    assert api(alice, "post", path, {"kind": "model", "model": "none-v1"})[0] == 404


def test_the_command_labels_lists_shows_and_cancels(read, path, traces):
    assert read(traces.slug) == []
    made = read(traces.slug, "verifier", "--wait")
    assert (made["status"], made["report"]["bad"]) == ("succeeded", 1)
    queued = read(traces.slug, "verifier", "--name", "later")
    assert [run["source"] for run in read(traces.slug)] == ["verifier:later", "verifier:arithmetic"]
    assert read(traces.slug, "--show", made["id"]) == made
    assert read(traces.slug, "--cancel", queued["id"])["status"] == "cancelled"
    third = read(traces.slug, "verifier", "--name", "third")
    assert read(traces.slug, "--show", third["id"], "--wait")["status"] == "succeeded"


def test_the_command_says_what_is_wrong(read, path, traces, project):
    for words, says in (
        (["nowhere"], "No project 'nowhere'"),
        ([traces.slug, "--show", "7"], "No run of labels '7'. There is: none yet."),
        ([traces.slug, "verifier", "--set", "verifier"], "--set takes NAME=VALUE"),
        ([traces.slug, "verifier", "--most", "0"], "1 or more"),
        ([project.slug, "verifier"], "no project of kind steps"),
    ):
        with pytest.raises(CommandError, match=says.replace(".", r"\.")):
            read(*words)
