"""What a request can get wrong is said clearly, in OpenAI's shape, and hurts nobody else."""

import os
import signal
import subprocess
import sys
import threading

import httpx
import openai
import pytest

pytestmark = pytest.mark.training
USER = [{"role": "user", "content": "hi"}]


def error_of(reply: httpx.Response, status: int = 400) -> dict:
    assert reply.status_code == status, reply.text
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
    return reply.json()["error"]


def test_an_unknown_model_is_not_found(server):
    with pytest.raises(openai.NotFoundError, match="there is no model 'nobody'"):
        server.openai.chat.completions.create(model="nobody", messages=USER)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("messages", None),
        ("messages", []),
        ("messages", "hi"),
        ("messages[0]", ["hi"]),
        ("messages[0].role", [{"role": "boss", "content": "hi"}]),
        ("messages[0].content", [{"role": "user", "content": 7}]),
        ("messages[0].content", [{"role": "user", "content": [{"type": "image_url"}]}]),
        ("messages[0].content", [{"role": "user", "content": "\ud800"}]),
        ("temperature", -1),
        ("temperature", "hot"),
        ("temperature", float("nan")),
        ("top_p", 1.1),
        ("top_k", 1.5),
        ("n", 0),
        ("n", True),
        ("max_tokens", 0),
        ("seed", "one"),
        ("stop", [""]),
        ("stop", 5),
        ("top_logprobs", 3),
        ("stream", "yes"),
        ("tools", [{"type": "function"}]),
        ("presence_penalty", 0.5),
        ("response_format", {"type": "json_object"}),
    ],
)
def test_a_bad_field_is_named(server, field, value):
    import json

    body = {"model": "tiny", "messages": USER} | {field.split("[")[0]: value}
    error = error_of(server.http.post("/v1/chat/completions", content=json.dumps(body)))
    assert error["param"] == field
    assert error["message"].startswith(field)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'"x"'])
def test_a_body_that_is_no_json_object_is_refused(server, body):
    assert error_of(server.http.post("/v1/chat/completions", content=body))["code"] == "invalid_json"


def test_a_body_without_end_is_cut_off(server):
    reply = server.http.post("/v1/chat/completions", content=(b" " * (1 << 20) for _ in range(40)))
    assert error_of(reply, 413)["code"] == "too_large"


def test_a_prompt_too_long_is_refused_and_never_cut(server):
    for settings in ({}, {"stream": True}):
        error = error_of(server.chat("word " * 3000, **settings))
        assert error["code"] == "context_length_exceeded"
        assert "2048" in error["message"]
    assert error_of(server.chat("hi", max_tokens=2048))["code"] == "context_length_exceeded"
    assert server.chat("hi", max_tokens=2000).status_code == 200


def test_a_base_model_without_a_template_says_so(server):
    error = error_of(server.chat(model="base"))
    assert error["code"] == "no_chat_template"
    assert "base model without a chat template" in error["message"]


def test_wrong_addresses_and_methods_answer_like_the_rest(server):
    assert error_of(server.http.get("/v1/nothing"), 404)["code"] == "not_found"
    assert error_of(server.http.get("/v1/chat/completions"), 405)["code"] == "not_found"


def test_a_fault_in_one_model_ends_its_requests_and_nothing_else(serve, models):
    server = serve(models)
    server.chat()
    network = next(e for e in server.app.state.shelf.entries if e.name == "tiny").lane.model.network
    weight = network.model.layers[0].mlp.gate_proj.weight
    network.model.layers[0].mlp.gate_proj.weight.data = weight.data[:, :5]  # as broken as weights can be
    assert error_of(server.chat(), 500)["code"] == "model_failed"
    assert server.chat(model="team/wide").status_code == 200
    with server.http.stream(
        "POST", "/v1/chat/completions", json={"model": "tiny", "messages": USER, "stream": True}
    ) as reply:
        assert "model_failed" in reply.read().decode()
    server.http.post("/v1/unload", json={"model": "tiny"})
    assert server.chat().status_code == 200


def test_a_token_is_asked_of_everyone(serve, models):
    server = serve(models, token="a secret")
    stranger = httpx.Client(base_url=server.url)
    for path in ("/v1/chat/completions", "/v1/score", "/v1/unload"):
        assert error_of(stranger.post(path, json={}), 401)["code"] == "invalid_api_key"
    assert stranger.get("/v1/models", headers={"Authorization": "Bearer é".encode()}).status_code == 401
    assert stranger.get("/health").json() == {"status": "ok"}
    assert server.http.get("/v1/models").status_code == 200
    assert "models" in server.http.get("/health").json()
    with pytest.raises(openai.AuthenticationError):
        server.openai.with_options(api_key="wrong").models.list()


def test_the_process_finishes_what_it_answers_when_told_to_stop(models, tmp_path):
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "training.server",
        "--port",
        str(port),
        "--models",
        str(models),
        "--dtype",
        "float32",
    ]
    process = subprocess.Popen(command, env=os.environ | {"STUDIO_SERVER_TOKEN": ""}, stderr=subprocess.PIPE, text=True)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            wait_for(client)
            body = {"model": "tiny", "messages": USER, "max_tokens": 300, "ignore_eos": True}
            client.post("/v1/chat/completions", json=body | {"max_tokens": 1})
            replies = []
            reader = threading.Thread(target=lambda: replies.append(client.post("/v1/chat/completions", json=body)))
            reader.start()
            while not client.get("/health").json()["models"][0]["rows"]:
                pass
            process.send_signal(signal.SIGTERM)
            reader.join(timeout=60)
        assert process.wait(timeout=60) == 0
        assert replies[0].json()["usage"]["completion_tokens"] == 300
        log = process.stderr.read()
        assert "POST /v1/chat/completions 200" in log and "Traceback" not in log
    finally:
        process.kill()


def wait_for(client: httpx.Client) -> None:
    import time

    for _ in range(300):
        try:
            return client.get("/health").raise_for_status()
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("the server did not start")
