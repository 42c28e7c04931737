"""A model writes other texts for a step, for whoever has the trace on her page."""

import pytest
from django.urls import reverse

from annotation.leases import reserve
from annotation.models import Alternative
from training.alternatives import COUNT, SAMPLING

pytestmark = pytest.mark.django_db(transaction=True)
FRAGMENT = {"HX-Request": "true"}


@pytest.fixture
def address(client, traces, trace, bob, monkeypatch):
    monkeypatch.setitem(SAMPLING, "max_tokens", 12)  # a random model never stops by itself
    client.force_login(bob)
    reserve(traces, bob)
    return reverse("alternatives", args=[traces.slug])


@pytest.mark.parametrize("step", [0, 2])
def test_a_model_goes_on_from_the_steps_before(client, address, registered, trace, step):
    said = {"prompt": trace.pk, "step": step, "model": "small-v1"}
    html = client.post(address, said, headers=FRAGMENT).content.decode()
    found = list(Alternative.objects.values_list("step", "source", flat=False))
    assert found and len(found) <= COUNT and set(found) == {(step, "small v1")}
    assert "<html" not in html and html.count('class="use') == len(found)
    for text in Alternative.objects.values_list("text", flat=True):
        assert text == text.strip() and "\n\n" not in text


def test_without_a_script_there_is_a_page_of_its_own(client, address, registered, trace):
    page = client.get(address, {"prompt": trace.pk, "step": 1}).content.decode()
    assert "12 + 5 = 18" in page and '<option value="small-v1"' in page
    assert "taste" not in page, "a reward model writes nothing"
    sent = client.post(address, {"prompt": trace.pk, "step": 1, "model": "small-v1"}, follow=True)
    assert sent.redirect_chain[0][0] == f"{address}?prompt={trace.pk}&step=1"
    assert sent.content.decode().count('class="use') == Alternative.objects.count()


def test_a_server_that_is_away_is_said_and_nothing_is_stored(client, address, registered, trace, settings):
    settings.MODEL_SERVER_URL = "http://127.0.0.1:9"
    said = {"prompt": trace.pk, "step": 1, "model": "small-v1"}
    assert "does not answer" in client.post(address, said, headers=FRAGMENT).content.decode()
    assert not Alternative.objects.exists()


@pytest.mark.parametrize(
    "wrong", [{"step": 3}, {"step": "x"}, {"step": "9" * 30}, {"prompt": 0}, {"model": "taste-v1"}, {"model": "none"}]
)
def test_what_does_not_exist_is_not_found(client, address, registered, trace, wrong):
    said = {"prompt": trace.pk, "step": 1, "model": "small-v1"} | wrong
    assert client.post(address, said, headers=FRAGMENT).status_code == 404


def test_only_who_has_the_trace_on_her_page_or_reviews_may_ask(client, address, make_trace, trace, alice, carol):
    other = make_trace("Not on her page")
    assert client.get(address, {"prompt": other.pk, "step": 0}).status_code == 403
    client.force_login(alice)
    assert client.get(address, {"prompt": other.pk, "step": 0}).status_code == 200
    client.force_login(carol)
    assert client.get(address, {"prompt": trace.pk, "step": 0}).status_code == 404
