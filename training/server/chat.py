"""Chat completions: from messages to a whole answer, or to one that streams."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from training.server import protocol
from training.server.batching import Job, Piece
from training.server.exchange import into, log_line, read_json, unless_gone
from training.server.folders import Options
from training.server.loading import Model
from training.server.protocol import ApiError, ChatRequest
from training.server.shelf import Shelf

STREAM_HEADERS = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store"}


async def chat(request: Request) -> Response:
    """POST /v1/chat/completions."""
    asked = protocol.read_chat(await read_json(request))
    if not asked.stream:
        return JSONResponse(await unless_gone(request, whole_answer(request, asked)))
    events = stream_answer(request, asked)
    first = await unless_gone(request, anext(events))  # loading, queueing and bad prompts still answer with a status
    return StreamingResponse(chain(first, events), headers=STREAM_HEADERS)


async def chain(first: str, rest: AsyncIterator[str]) -> AsyncIterator[str]:
    try:
        yield first
        async for event in rest:
            yield event
    finally:
        await rest.aclose()


async def whole_answer(request: Request, asked: ChatRequest) -> dict:
    choices: list[dict] = [{"index": i, "text": "", "logprobs": []} for i in range(asked.n)]
    async with started(request, asked) as (job, pieces):
        async for piece in pieces:
            choice = choices[piece.index]
            choice["text"] += piece.text
            choice["finish_reason"], choice["stop_reason"] = piece.finish_reason, piece.stop_reason
            choice["logprobs"] += piece.logprobs
        usage = protocol.usage(len(job.prompt), job.completion_tokens)
    messages = [
        {
            "index": choice["index"],
            "message": {"role": "assistant", "content": choice["text"], "refusal": None},
            "finish_reason": choice["finish_reason"],
            "stop_reason": choice["stop_reason"],
            "logprobs": None if asked.top_logprobs is None else {"content": choice["logprobs"]},
        }
        for choice in choices
    ]
    return protocol.completion(new_id(), asked.model, messages, usage)


async def stream_answer(request: Request, asked: ChatRequest) -> AsyncIterator[str]:
    """Server-sent events: the role of each choice, its text as it comes, then [DONE]."""
    event, status, job = partial(protocol.chunk, new_id(), asked.model), 499, None
    try:
        async with started(request, asked) as (job, pieces):
            yield sse(event([delta(i, {"role": "assistant", "content": ""}) for i in range(asked.n)]))
            async for piece in pieces:
                content = {"content": piece.text} if piece.text else {}
                yield sse(event([delta(piece.index, content, piece)]))
            if asked.include_usage:
                yield sse(event([], protocol.usage(len(job.prompt), job.completion_tokens)))
            yield "data: [DONE]\n\n"
            status = 200
    except ApiError as error:
        if job is None:
            raise
        status = error.status
        yield sse(error.body())
    finally:
        if job is not None:
            log_line(request, status)


def delta(index: int, content: dict, piece: Piece | None = None) -> dict:
    logprobs = {"content": piece.logprobs} if piece and piece.logprobs else None
    reason = piece.finish_reason if piece else None
    return {"index": index, "delta": content, "finish_reason": reason, "logprobs": logprobs}


def sse(event: dict) -> str:
    return f"data: {json.dumps(event, ensure_ascii=False)}\n\n"


def new_id() -> str:
    return f"chatcmpl-{uuid.uuid4().hex}"


@asynccontextmanager
async def started(request: Request, asked: ChatRequest) -> AsyncIterator[tuple[Job, AsyncIterator[Piece]]]:
    """A job under way and its pieces; leaving early cancels it."""
    shelf: Shelf = request.app.state.shelf
    async with shelf.borrow(asked.model) as lane:
        prompt, max_tokens = await asyncio.to_thread(prepare, lane.model, asked, shelf.options)
        inbox: asyncio.Queue = asyncio.Queue()
        job = Job(
            prompt=prompt,
            sampling=asked.sampling,
            n=asked.n,
            max_tokens=max_tokens,
            stop=asked.stop,
            top_logprobs=asked.top_logprobs,
            ignore_eos=asked.ignore_eos,
            emit=into(inbox),
        )
        shelf.engine.submit(lane, job)
        try:
            yield job, pieces_from(inbox, asked.n)
        finally:
            job.cancelled = True
            request.state.about = f" {asked.model} {len(prompt)}+{job.completion_tokens} tokens"


async def pieces_from(inbox: asyncio.Queue, running: int) -> AsyncIterator[Piece]:
    while running:
        piece = await inbox.get()
        if isinstance(piece, Exception):
            raise piece
        running -= piece.finish_reason is not None
        yield piece


def prepare(model: Model, asked: ChatRequest, options: Options) -> tuple[list[int], int]:
    """The prompt's tokens and how many may follow. Raises ApiError if they do not fit; nothing is ever cut."""
    if model.task != "chat":
        route = "score" if model.task == "score" else "score_steps"
        raise ApiError(400, f"{model.name} is a reward model: it scores (POST /v1/{route})", "wrong_task", "model")
    prompt = encode(model, asked)
    room = (model.context or 10**9) - len(prompt)
    wanted = asked.max_tokens or min(options.max_tokens, max(room, 1))
    if wanted > room:
        message = (
            f"{model.name} reads at most {model.context} tokens; the messages take {len(prompt)} "
            f"and the completion was to have {wanted}. Shorten the messages or ask for fewer tokens"
        )
        raise ApiError(400, message, "context_length_exceeded", "messages")
    return prompt, wanted


def encode(model: Model, asked: ChatRequest) -> list[int]:
    """The prompt; a turn of the assistant's that goes on keeps its last spaces, which many chat templates cut."""
    if not asked.continue_final_message:
        return model.encode(asked.messages, add_generation_prompt=True)
    *before, last = asked.messages
    if last["role"] != "assistant":
        return model.encode(asked.messages, continue_final_message=True)
    return model.encode_begun(before, [last["content"]], add_generation_prompt=True)[0]
