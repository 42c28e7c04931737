"""A running model server for the tests: the real app behind real HTTP, with tiny models of its own."""

import socket
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from openai import OpenAI

from tests.tiny import tiny_model

TIMEOUT = 60


class Running:
    """A server that runs: its address, its application, a client that sends the token."""

    def __init__(self, app, url: str, token: str):
        self.app, self.url = app, url
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.http = httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT)
        self.openai = OpenAI(base_url=f"{url}/v1", api_key=token or "none", max_retries=0, timeout=TIMEOUT)

    def chat(self, text: str = "What is the capital of France?", model: str = "tiny", **settings) -> httpx.Response:
        settings = {"messages": [{"role": "user", "content": text}], "max_tokens": 12, "temperature": 0} | settings
        return self.http.post("/v1/chat/completions", json={"model": model, **settings})

    def answer(self, *args, **settings) -> str:
        return self.chat(*args, **settings).json()["choices"][0]["message"]["content"]

    def model(self, name: str = "tiny") -> dict:
        """What /health says of one model; empty when it is not loaded."""
        return next((m for m in self.http.get("/health").json()["models"] if m["id"] == name), {})

    def wait_until(self, condition, seconds: float = 30):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.02)


@contextmanager
def running(models: Path, token: str = "", **options):
    import uvicorn

    from training.server.app import create_app
    from training.server.folders import Options

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        app = create_app(Options(models=models.resolve(), **options), token)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            here = Running(app, f"http://127.0.0.1:{listener.getsockname()[1]}", token)
            here.wait_until(lambda: server.started)
            yield here
        finally:
            server.should_exit = True
            thread.join(timeout=TIMEOUT)
    assert not thread.is_alive(), "the server did not stop"


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Path:
    """A folder of models: two that chat, one without a chat template, one that scores."""
    root = tmp_path_factory.mktemp("models")
    # Untied and far from zero, so that a greedy answer depends on every token of its prompt.
    lively = {"tie_word_embeddings": False, "initializer_range": 0.3}
    tiny_model(root / "tiny", **lively)
    tiny_model(root / "team" / "wide", hidden_size=128, **lively)
    base = tiny_model(root / "base", **lively)
    (base / "chat_template.jinja").unlink()
    tiny_reward_model(root / "reward", root / "tiny")
    tiny_step_model(root / "process", root / "tiny")
    tiny_step_model(root / "outcome", root / "tiny", "SequenceClassification")
    return root


def tiny_reward_model(path: Path, start: Path) -> Path:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(1)
    AutoModelForSequenceClassification.from_pretrained(start, num_labels=1).save_pretrained(path)
    AutoTokenizer.from_pretrained(start).save_pretrained(path)
    return path


def tiny_step_model(path: Path, start: Path, kind: str = "TokenClassification", **marks) -> Path:
    """A process reward model, or with "SequenceClassification" an outcome one, that says something of every step."""
    import torch
    import transformers

    torch.manual_seed(2)
    labels = 2 if kind == "TokenClassification" else 1
    model = getattr(transformers, f"AutoModelFor{kind}").from_pretrained(start, num_labels=labels)
    for name, value in ({"step_separator": "\n\n", "step_window": 512} | marks).items():
        setattr(model.config, name, value)
    model.save_pretrained(path)
    transformers.AutoTokenizer.from_pretrained(start).save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def server(models):
    with running(models, rows=16) as here:
        yield here


@pytest.fixture
def serve():
    """Start a server with options of the test's own; it stops when the test ends."""
    stack = []

    def start(models: Path, **options) -> Running:
        stack.append(running(models, **options))
        return stack[-1].__enter__()

    yield start
    for context in reversed(stack):
        context.__exit__(None, None, None)
