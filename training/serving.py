"""Asking models: ours through the model server, others at their own OpenAI-compatible address."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from django.conf import settings

from training.endpoints import RefusedAddress, pinned_transport
from training.models import ModelVersion
from training.pinned import trust

SAMPLING = ("temperature", "top_p", "top_k", "max_tokens", "seed", "stop", "n")  # what a caller may set
PATIENCE = httpx.Timeout(10, read=600)  # a model may have to be loaded first
LISTING = 5.0  # seconds for an endpoint to list its models, while a person waits
LONGEST = 4 << 20  # bytes of such a list
TRACES_AT_ONCE = 256  # in one request: an answer comes back while a run may still be cancelled
AT_ONCE = 8  # requests under way to an endpoint elsewhere, for one call of ours


class ServingError(RuntimeError):
    """A model could not answer; the message says why, in words for a page."""


@dataclass(frozen=True)
class Target:
    """Where a model answers, and under which name."""

    url: str
    model: str
    headers: dict
    ours: bool

    def client(self) -> httpx.AsyncClient:
        transport = None if self.ours else pinned_transport()
        return httpx.AsyncClient(headers=self.headers, timeout=PATIENCE, transport=transport, verify=trust())


def server_headers() -> dict:
    return {"Authorization": f"Bearer {settings.SERVER_TOKEN}"}


def target(model: ModelVersion) -> Target:
    if not model.endpoint:
        return Target(f"{settings.MODEL_SERVER_URL}/v1", model.slug, server_headers(), ours=True)
    return elsewhere(model.endpoint, model.endpoint_model or model.name, model.endpoint_key_env)


def elsewhere(url: str, model: str, key_env: str) -> Target:
    key = os.environ.get(key_env, "") if key_env else ""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return Target(url.rstrip("/"), model, headers, ours=False)


def reason(response: httpx.Response) -> str:
    """The server's own sentence, when its error has OpenAI's shape."""
    try:
        return response.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        return f"HTTP {response.status_code}: {response.text[:200]}"


def unreachable(model: ModelVersion, error: Exception) -> ServingError:
    where = target(model).url
    hint = "" if model.endpoint else " Start it with `studio up` or `studio server`."
    return ServingError(f"The model server at {where} does not answer ({type(error).__name__}).{hint}")


async def offered(url: str, key_env: str = "") -> list[str]:
    """The models an endpoint says it has. Raises ServingError when it does not say, or not soon."""
    there, body = elsewhere(url, "", key_env), b""
    plain = {"Accept-Encoding": "identity"}  # a small answer must not unpack into a large one
    try:
        ask = there.client()
        async with asyncio.timeout(LISTING), ask, ask.stream("GET", f"{there.url}/models", headers=plain) as reply:
            async for piece in reply.aiter_raw():
                body += piece
                if len(body) > LONGEST:
                    raise ServingError(f"{there.url}/models never ends.")
        if reply.is_error:
            raise ServingError(f"{there.url}/models answers with HTTP {reply.status_code}.")
        return [str(model["id"]) for model in json.loads(body)["data"]]
    except RefusedAddress as error:
        raise ServingError(str(error)) from error
    except (httpx.HTTPError, OSError) as error:  # OSError: also a TimeoutError
        raise ServingError(f"{there.url} does not answer ({type(error).__name__}).") from error
    except (ValueError, LookupError, TypeError) as error:
        raise ServingError(f"{there.url}/models does not answer with a list of models.") from error


async def post(model: ModelVersion, route: str, body: dict) -> dict:
    """One request, one JSON answer. Raises ServingError."""
    there = target(model)
    try:
        async with there.client() as client:
            response = await client.post(f"{there.url}/{route}", json={"model": there.model, **body})
    except (httpx.HTTPError, ValueError) as error:
        raise unreachable(model, error) from error
    if response.is_error:
        raise ServingError(reason(response))
    return without_nul(response.json())


def without_nul(said: Any) -> Any:
    """What a model said as text a database keeps: byte-level vocabularies hold a NUL, and PostgreSQL takes none.

    >>> without_nul({"texts": [["a\\0b"], "\\0"], "n": 1})
    {'texts': [['ab'], ''], 'n': 1}
    """
    if isinstance(said, str):
        return said.replace("\0", "")
    if isinstance(said, list):
        return [without_nul(item) for item in said]
    return {key: without_nul(value) for key, value in said.items()} if isinstance(said, dict) else said


async def chat(model: ModelVersion, messages: list[dict], **sampling) -> list[dict]:
    """The model's answers: a list of {"text", "finish_reason"}, as many as `n` asked for."""
    body = {key: value for key, value in sampling.items() if value is not None}
    answer = await post(model, "chat/completions", {"messages": messages, **body})
    return [
        {"text": choice["message"]["content"] or "", "finish_reason": choice["finish_reason"]}
        for choice in answer["choices"]
    ]


async def stream(model: ModelVersion, messages: list[dict], **sampling) -> AsyncIterator[dict]:
    """Yield {"text"} pieces as they come, then one {"finish_reason", "usage"}."""
    there = target(model)
    body = {key: value for key, value in sampling.items() if value is not None}
    body |= {"model": there.model, "messages": messages, "stream": True, "stream_options": {"include_usage": True}}
    last: dict = {"finish_reason": None, "usage": None}
    try:
        async with there.client() as client, client.stream("POST", f"{there.url}/chat/completions", json=body) as reply:
            if reply.is_error:
                await reply.aread()
                raise ServingError(reason(reply))
            async for line in reply.aiter_lines():
                if not line.startswith("data: ") or line == "data: [DONE]":
                    continue
                chunk = json.loads(line[6:])
                if "error" in chunk:
                    raise ServingError(chunk["error"]["message"])
                for choice in chunk.get("choices", []):
                    if text := without_nul(choice["delta"].get("content")):
                        yield {"text": text}
                    last["finish_reason"] = choice.get("finish_reason") or last["finish_reason"]
                last["usage"] = chunk.get("usage") or last["usage"]
    except (httpx.HTTPError, ValueError) as error:
        raise unreachable(model, error) from error
    yield last


async def score_steps(model: ModelVersion, items: Sequence[dict]) -> list[list[float | None]]:
    """How likely each step of these traces is right: of items {"messages": the problem, "steps": texts}, a list each.

    An outcome reward model answers at the last step, with None before it. Raises ServingError.
    """
    if model.endpoint:
        raise ServingError(f"{model} is an endpoint; steps are scored by models that are served here.")
    found: list[list[float | None]] = []
    for at in range(0, len(items), TRACES_AT_ONCE):
        answer = await post(model, "score_steps", {"items": list(items[at : at + TRACES_AT_ONCE])})
        found += answer["scores"]
    return found


async def score(model: ModelVersion, conversations: list[list[dict]]) -> list[float]:
    """A reward model's score of each conversation (its last turn is the answer)."""
    answer = await post(model, "score", {"items": [{"messages": messages} for messages in conversations]})
    return answer["scores"]


async def rollouts(model: ModelVersion, items: list[dict], n: int = 1, **sampling) -> dict:
    """Continuations of the assistant's turn from every prefix: {"texts": [[[n texts] a prefix] an item], …}.

    An item is {"messages": the chat before that turn, "prefixes": its beginnings, "" among them}; "finish_reasons" has
    the shape of "texts", "usage" counts tokens. Endpoints elsewhere are asked prefix by prefix, as chats whose last
    message goes on (`continue_final_message`, which vLLM knows). Raises ServingError.
    """
    body = {"n": n} | {key: value for key, value in sampling.items() if value is not None}
    if not model.endpoint:
        return await post(model, "rollouts", {"items": items, **body})
    room = asyncio.Semaphore(AT_ONCE)

    async def one(messages: list[dict], prefix: str) -> dict:
        async with room:
            return await post(model, "chat/completions", going_on(messages, prefix) | body)

    wanted = [(item["messages"], prefix) for item in items for prefix in item["prefixes"]]
    answers = iter(await asyncio.gather(*(one(*each) for each in wanted)))
    by_item = [[next(answers) for _ in item["prefixes"]] for item in items]
    return joined(by_item)


def going_on(messages: list[dict], prefix: str) -> dict:
    if not prefix:
        return {"messages": messages}
    begun = [*messages, {"role": "assistant", "content": prefix}]
    return {"messages": begun, "continue_final_message": True, "add_generation_prompt": False}


def joined(by_item: list[list[dict]]) -> dict:
    """Chat completions, a list for every item, in the shape of a rollouts answer."""
    usages = [answer.get("usage") or {} for answers in by_item for answer in answers]
    kinds = ("prompt_tokens", "completion_tokens", "total_tokens")
    return {
        "texts": [[[c["message"]["content"] or "" for c in a["choices"]] for a in answers] for answers in by_item],
        "finish_reasons": [[[c["finish_reason"] for c in a["choices"]] for a in answers] for answers in by_item],
        "usage": {kind: sum(usage.get(kind) or 0 for usage in usages) for kind in kinds},
    }
