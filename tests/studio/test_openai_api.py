"""The public openai client talks to the studio with a base_url and a token alone."""

import threading

import httpx
import openai
import pytest
from django.urls import reverse

from annotation.models import Project
from studio.models import ApiToken

pytestmark = pytest.mark.django_db(transaction=True)
TURN = [{"role": "user", "content": "Hello there."}]


@pytest.fixture
def studio_url(live_studio):
    return f"{live_studio}/v1"


@pytest.fixture
def openai_client(studio_url, bob, registered):
    _, token = ApiToken.issue(bob, "notebook")
    return openai.OpenAI(base_url=studio_url, api_key=token, max_retries=0)


def test_the_client_lists_models_and_gets_answers(openai_client):
    there = {"small-v1", "wide-v1", "taste-v1", "steps-v1", "answers-v1"}
    assert there == {model.id for model in openai_client.models.list()}
    answer = openai_client.chat.completions.create(model="small-v1", messages=TURN, max_tokens=6, temperature=0)
    assert answer.choices[0].message.content and answer.usage.completion_tokens <= 6


def test_a_streamed_answer_equals_the_whole_one(openai_client):
    asked = {"model": "small-v1", "messages": TURN, "max_tokens": 8, "temperature": 0}
    whole = openai_client.chat.completions.create(**asked).choices[0].message.content
    pieces = openai_client.chat.completions.create(**asked, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in pieces if chunk.choices) == whole


def test_a_wrong_token_is_an_authentication_error(studio_url, registered):
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=studio_url, api_key="st-guess", max_retries=0).models.list()


def test_a_model_of_a_project_of_others_is_not_found(openai_client, registered, alice):
    registered["small"].project = Project.objects.create(name="Theirs")
    registered["small"].save()
    with pytest.raises(openai.NotFoundError, match="small-v1"):
        openai_client.chat.completions.create(model="small-v1", messages=TURN)


def test_a_server_that_is_away_is_a_503_that_says_so(openai_client, settings):
    settings.MODEL_SERVER_URL = "http://127.0.0.1:9"
    with pytest.raises(openai.InternalServerError, match="does not answer"):
        openai_client.chat.completions.create(model="small-v1", messages=TURN)


def test_rewards_are_served_too(openai_client, studio_url):
    chat = [*TURN, {"role": "assistant", "content": "Good morning."}]
    headers = {"Authorization": f"Bearer {openai_client.api_key}"}
    body = {"model": "taste-v1", "items": [{"messages": chat}]}
    reply = httpx.post(f"{studio_url}/score", json=body, headers=headers)
    assert len(reply.json()["scores"]) == 1


def test_many_ask_at_once_and_all_are_answered(openai_client):
    answers = []

    def ask():
        reply = openai_client.chat.completions.create(model="small-v1", messages=TURN, max_tokens=4)
        answers.append(reply.choices[0].finish_reason)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(answers) == 8


def test_the_token_is_shown_once_and_stored_hashed(client, bob):
    client.force_login(bob)
    client.post(reverse("account"), {"action": "create", "name": "notebook"})
    row, token = ApiToken.issue(bob, "other")
    assert token not in row.hash and ApiToken.user_of(token) == bob


def test_steps_are_scored_with_the_users_token_and_by_the_studio_itself(openai_client, studio_url, registered):
    import asyncio

    from training import serving

    items = [{"messages": TURN, "steps": ["One.", "Two."]}, {"messages": TURN, "steps": ["Three."]}]
    headers = {"Authorization": f"Bearer {openai_client.api_key}"}
    reply = httpx.post(f"{studio_url}/score_steps", json={"model": "steps-v1", "items": items}, headers=headers)
    assert [len(trace) for trace in reply.json()["scores"]] == [2, 1]
    assert asyncio.run(serving.score_steps(registered["steps"], items)) == reply.json()["scores"]
    with pytest.raises(serving.ServingError, match="does not score steps"):
        asyncio.run(serving.score_steps(registered["taste"], items))
    assert httpx.post(f"{studio_url}/score_steps", json={"model": "steps-v1", "items": items}).status_code == 401
