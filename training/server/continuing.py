"""POST /v1/rollouts: read what is asked, have the engine continue every prefix, shape the reply."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from training.server import protocol
from training.server.exchange import into, read_json, unless_gone
from training.server.folders import Options
from training.server.loading import Model
from training.server.protocol import ApiError, bad
from training.server.rollouts import RolloutJob
from training.server.sampling import Sampling
from training.server.shelf import Shelf

MAX_PREFIXES = 1024  # of one item: a trace of 500 steps has 501
MAX_COMPLETIONS = 1 << 15  # of one request


@dataclass(frozen=True)
class RolloutRequest:
    model: str
    items: list[tuple[list[dict], list[str]]]  # messages, and the beginnings of the assistant's turn to continue
    sampling: Sampling
    n: int
    max_tokens: int | None
    stop: list[str]


def read_rollouts(body: Any) -> RolloutRequest:
    """Check a /v1/rollouts body. Raises ApiError naming the field and what it should be."""
    model = protocol.read_model(body)
    protocol.refuse_unsupported(body)
    items = body.get("items")
    if not isinstance(items, list) or not 1 <= len(items) <= protocol.MAX_ITEMS:
        raise bad("items", f"must be a list of 1 to {protocol.MAX_ITEMS} objects with messages and prefixes")
    read = [read_item(item, f"items[{at}]") for at, item in enumerate(items)]
    n = protocol.read_integer(body, "n", 1, 1, protocol.MAX_N)
    wanted = n * sum(len(prefixes) for _, prefixes in read)
    if wanted > MAX_COMPLETIONS:
        raise bad("items", f"ask for {wanted} completions at once; send at most {MAX_COMPLETIONS} in one request")
    return RolloutRequest(
        model=model,
        items=read,
        sampling=protocol.read_sampling(body),
        n=n,
        max_tokens=protocol.read_integer(body, "max_tokens", None, 1, 10**9),
        stop=protocol.read_stop(body.get("stop")),
    )


def read_item(item: Any, name: str) -> tuple[list[dict], list[str]]:
    if not isinstance(item, dict):
        raise bad(name, "must be an object with messages and prefixes")
    messages = protocol.read_messages(item.get("messages"), f"{name}.messages")
    if messages[-1]["role"] == "assistant":
        raise bad(f"{name}.messages", "must end before the assistant's turn; its beginnings belong into prefixes")
    prefixes = item.get("prefixes")
    if not isinstance(prefixes, list) or not 1 <= len(prefixes) <= MAX_PREFIXES:
        raise bad(
            f"{name}.prefixes", f"must be a list of 1 to {MAX_PREFIXES} texts; the empty text is the prompt alone"
        )
    for at, prefix in enumerate(prefixes):
        if not isinstance(prefix, str):
            raise bad(f"{name}.prefixes[{at}]", "must be text")
        protocol.valid_text(prefix, f"{name}.prefixes[{at}]")
    return messages, prefixes


async def rollouts(request: Request) -> Response:
    """n continuations of every prefix of every item, as texts[item][prefix][n]."""
    asked = read_rollouts(await read_json(request))
    return JSONResponse(await unless_gone(request, continued(request, asked)))


async def continued(request: Request, asked: RolloutRequest) -> dict:
    shelf: Shelf = request.app.state.shelf
    async with shelf.borrow(asked.model) as lane:
        inbox: asyncio.Queue = asyncio.Queue()
        job = await asyncio.to_thread(prepare, lane.model, asked, shelf.options, into(inbox))
        shelf.engine.submit(lane, job)
        try:
            done = await inbox.get()
        finally:
            job.cancelled = True
            request.state.about = f" {asked.model} {job.read_tokens}+{job.completion_tokens} tokens"
    if isinstance(done, Exception):
        raise done
    asked_for = sum(len(prefix) for item in job.items for prefix in item)
    usage = protocol.usage(asked_for, job.completion_tokens)
    usage["prompt_tokens_details"] = {"cached_tokens": max(0, asked_for - job.read_tokens)}
    return {
        "object": "list",
        "model": asked.model,
        "texts": job.texts,
        "finish_reasons": job.reasons,
        "usage": usage,
    }


def prepare(model: Model, asked: RolloutRequest, options: Options, emit: Any) -> RolloutJob:
    """The request as tokens. Raises ApiError if a prefix does not fit beside its completion; nothing is ever cut."""
    if model.task != "chat":
        raise ApiError(400, f"{model.name} does not write: it scores", "wrong_task", "model")
    items = [model.encode_begun(messages, prefixes, add_generation_prompt=True) for messages, prefixes in asked.items]
    longest = max(len(prefix) for item in items for prefix in item)
    room = (model.context or 10**9) - longest
    wanted = asked.max_tokens or min(options.max_tokens, max(room, 1))
    if wanted > room:
        raise too_long(model, items, wanted)
    return RolloutJob(items, asked.sampling, asked.n, wanted, asked.stop, emit)


def too_long(model: Model, items: list[list[list[int]]], wanted: int) -> ApiError:
    places = [(i, j) for i, item in enumerate(items) for j, prefix in enumerate(item)]
    i, j = next((i, j) for i, j in places if len(items[i][j]) + wanted > model.context)
    message = (
        f"{model.name} reads at most {model.context} tokens; items[{i}].prefixes[{j}] takes {len(items[i][j])} "
        f"with its messages and the completion was to have {wanted}. Leave the prefix out or ask for fewer tokens"
    )
    return ApiError(400, message, "context_length_exceeded", f"items[{i}].prefixes[{j}]")
