"""Asking a model to go on from prefixes: our server in one request, an endpoint elsewhere chat by chat."""

import asyncio

import pytest

from tests.serving import TOKEN
from training import serving
from training.models import ModelVersion

ITEMS = [
    {"messages": [{"role": "user", "content": "Why is the sky blue?"}], "prefixes": ["", "The sky", "The sky is blue"]},
    {"messages": [{"role": "user", "content": "Hello"}], "prefixes": ["Good"]},
]


def ask(model, **sampling):
    return asyncio.run(serving.rollouts(model, ITEMS, **{"n": 2, "max_tokens": 8, "temperature": 0} | sampling))


@pytest.fixture
def elsewhere(registered, settings, monkeypatch):
    """The same server, known only by its address."""
    settings.PRIVATE_ENDPOINTS = True
    monkeypatch.setenv("ELSEWHERE_KEY", TOKEN)
    url = f"{settings.MODEL_SERVER_URL}/v1"
    return ModelVersion.objects.create(
        name="far", slug="far-v1", endpoint=url, endpoint_model="small-v1", endpoint_key_env="ELSEWHERE_KEY"
    )


def test_texts_come_by_item_and_prefix(registered):
    said = ask(registered["small"])
    assert [[len(texts) for texts in item] for item in said["texts"]] == [[2, 2, 2], [2]]
    assert said["usage"]["completion_tokens"] > 0


def test_an_endpoint_elsewhere_says_the_same(registered, elsewhere):
    ours, theirs = ask(registered["small"]), ask(elsewhere)
    assert (ours["texts"], ours["finish_reasons"]) == (theirs["texts"], theirs["finish_reasons"])
    assert theirs["usage"]["total_tokens"] > 0


def test_a_request_that_cannot_be_done_says_why(registered):
    with pytest.raises(serving.ServingError, match=r"items\[0\].prefixes\[0\] takes"):
        ask(registered["small"], max_tokens=5000)


def test_a_server_that_is_away_is_an_error_in_words(registered, settings):
    settings.MODEL_SERVER_URL = "http://127.0.0.1:9"
    with pytest.raises(serving.ServingError, match="does not answer"):
        ask(registered["small"])
