"""The HTTP side: chat completions, scores, models, health."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from training.server import protocol
from training.server.batching import Job, Piece
from training.server.engine import Engine, Lane, ScoreJob
from training.server.folders import Options, models_under, task_of
from training.server.loading import Model
from training.server.protocol import ApiError, ChatRequest
from training.server.shelf import Shelf

log = logging.getLogger("training.server")
LARGEST_BODY = 32 << 20
STREAM_HEADERS = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store"}


def create_app(options: Options, token: str = "") -> Starlette:
    """The ASGI application. With a token, every request must carry it."""
    engine = Engine()
    shelf = Shelf(options, engine)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        opening = asyncio.create_task(shelf.open())
        yield
        await opening
        await asyncio.to_thread(engine.stop)

    routes = [
        ("/v1/models", list_models, "GET"),
        ("/v1/chat/completions", chat, "POST"),
        ("/v1/score", score, "POST"),
        ("/v1/unload", unload, "POST"),
        ("/health", health, "GET"),
    ]
    app = Starlette(
        routes=[Route(path, answered(view, token), methods=[method]) for path, view, method in routes],
        lifespan=lifespan,
        exception_handlers={404: not_found, 405: not_found},
    )
    app.state.shelf, app.state.options, app.state.engine, app.state.token = shelf, options, engine, token
    return app


def answered(view: Callable[[Request], Awaitable[Response]], token: str) -> Callable:
    """Ask for the token, turn ApiErrors into answers, and log one line a request."""

    async def answer(request: Request) -> Response:
        request.state.began, request.state.about = time.monotonic(), ""
        try:
            if token and view is not health:
                check_token(request, token)
            response = await view(request)
        except ApiError as error:
            response = JSONResponse(error.body(), error.status, error.headers)
        except ClientDisconnect:
            response = Response(status_code=499)
        except Exception as fault:
            log.exception("%s %s failed", request.method, request.url.path)
            error = ApiError(500, f"the server failed: {type(fault).__name__}; its log says more", "server_error")
            response = JSONResponse(error.body(), error.status)
        if not isinstance(response, StreamingResponse):  # a stream logs its line when it ends
            log_line(request, response.status_code)
        return response

    return answer


def check_token(request: Request, token: str) -> None:
    if not is_token(request, token):
        raise ApiError(401, "send the server's token: Authorization: Bearer …", "invalid_api_key")


def is_token(request: Request, token: str) -> bool:
    given = request.headers.get("authorization", "")
    return hmac.compare_digest(given.encode(), f"Bearer {token}".encode())


def log_line(request: Request, status: int) -> None:
    seconds = time.monotonic() - request.state.began
    log.info("%s %s %s %.3fs%s", request.method, request.url.path, status, seconds, request.state.about)


async def not_found(request: Request, error: Any) -> Response:
    message = f"there is no {request.method} {request.url.path} here"
    return JSONResponse(ApiError(error.status_code, message, "not_found").body(), error.status_code)


async def list_models(request: Request) -> Response:
    """Every model folder under the root, as it is now."""
    options: Options = request.app.state.options
    folders = await asyncio.to_thread(lambda: list(models_under(options.models, options)))
    models = [
        {
            "id": folder.relative_to(options.models).as_posix(),
            "object": "model",
            "created": int(folder.stat().st_mtime),
            "owned_by": "studio",
            "task": task_of(folder),
        }
        for folder in folders
    ]
    return JSONResponse({"object": "list", "data": models})


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
    choices = [{"index": i, "text": "", "finish_reason": None, "logprobs": []} for i in range(asked.n)]
    async with started(request, asked) as (job, pieces):
        async for piece in pieces:
            choice = choices[piece.index]
            choice["text"] += piece.text
            choice["finish_reason"] = piece.finish_reason
            choice["logprobs"] += piece.logprobs
        usage = protocol.usage(len(job.prompt), job.completion_tokens)
    messages = [
        {
            "index": choice["index"],
            "message": {"role": "assistant", "content": choice["text"], "refusal": None},
            "finish_reason": choice["finish_reason"],
            "logprobs": None if asked.top_logprobs is None else {"content": choice["logprobs"]},
        }
        for choice in choices
    ]
    return protocol.completion(new_id(), asked.model, messages, usage)


async def stream_answer(request: Request, asked: ChatRequest) -> AsyncIterator[str]:
    """Server-sent events: the role of each choice, its text as it comes, then [DONE]."""
    event, status = partial(protocol.chunk, new_id(), asked.model), 499
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
        if "job" not in locals():
            raise
        status = error.status
        yield sse(error.body())
    finally:
        if "job" in locals():
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


def into(inbox: asyncio.Queue) -> Callable[[Any], None]:
    """A function for the engine's thread that puts things into an event loop's queue."""
    loop = asyncio.get_running_loop()

    def emit(item: Any) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(inbox.put_nowait, item)

    return emit


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
        raise ApiError(400, f"{model.name} is a reward model: it scores (POST /v1/score)", "wrong_task", "model")
    final = asked.continue_final_message
    prompt = model.encode(asked.messages, add_generation_prompt=not final, continue_final_message=final)
    room = (model.context or 10**9) - len(prompt)
    wanted = asked.max_tokens or min(options.max_tokens, max(room, 1))
    if wanted > room:
        message = (
            f"{model.name} reads at most {model.context} tokens; the messages take {len(prompt)} "
            f"and the completion was to have {wanted}. Shorten the messages or ask for fewer tokens"
        )
        raise ApiError(400, message, "context_length_exceeded", "messages")
    return prompt, wanted


async def score(request: Request) -> Response:
    """POST /v1/score: one reward for each conversation."""
    name, items = protocol.read_score(await read_json(request))
    return JSONResponse(await unless_gone(request, scored(request, name, items)))


async def scored(request: Request, name: str, items: list[list[dict]]) -> dict:
    shelf: Shelf = request.app.state.shelf
    async with shelf.borrow(name) as lane:
        tokens = await asyncio.to_thread(prepare_items, lane.model, items)
        inbox: asyncio.Queue = asyncio.Queue()
        job = ScoreJob(tokens, into(inbox))
        shelf.engine.submit(lane, job)
        try:
            scores = await inbox.get()
        finally:
            job.cancelled = True
    if isinstance(scores, Exception):
        raise scores
    request.state.about = f" {name} {len(items)} items {sum(map(len, tokens))} tokens"
    usage = protocol.usage(sum(map(len, tokens)), 0)
    return {"object": "list", "model": name, "scores": scores, "usage": usage}


def prepare_items(model: Model, items: list[list[dict]]) -> list[list[int]]:
    if model.task != "score":
        raise ApiError(400, f"{model.name} is not a reward model: it has no score to give", "wrong_task", "model")
    tokens = [model.encode(messages) for messages in items]
    for index, ids in enumerate(tokens):
        if len(ids) > (model.context or 10**9):
            message = f"items[{index}] has {len(ids)} tokens; {model.name} reads at most {model.context}"
            raise ApiError(400, message, "context_length_exceeded", f"items[{index}]")
    return tokens


async def unload(request: Request) -> Response:
    """POST /v1/unload: a model leaves memory once the requests it is answering are done."""
    name = protocol.read_model(await read_json(request))
    return JSONResponse({"model": name, "running": request.app.state.shelf.unload(name)})


async def health(request: Request) -> Response:
    """That the server lives; and, to those who hold the token, what it is doing."""
    state = request.app.state
    if state.token and not is_token(request, state.token):
        return JSONResponse({"status": "ok"})
    loaded = [describe_lane(entry.name, entry, entry.lane) for entry in state.shelf.entries]
    memory = {"used": state.shelf.held(), "budget": state.options.memory}
    device = {"device": state.options.device, "dtype": state.options.dtype}
    return JSONResponse({"status": "ok", **device, "memory": memory, "models": loaded})


def describe_lane(name: str, entry: Any, lane: Lane | None) -> dict:
    return {
        "id": name,
        "state": "leaving" if entry.retired else "loaded" if lane else "loading",
        "bytes": entry.bytes,
        "running": lane.running_jobs() if lane else 0,
        "rows": len(lane.batch.rows) if lane else 0,
        "waiting": entry.waiting(),
    }


async def read_json(request: Request) -> Any:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_BODY:
            raise ApiError(413, f"the request body is larger than {LARGEST_BODY >> 20} MB", "too_large")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise ApiError(400, "the request body is not JSON", "invalid_json") from None


async def unless_gone(request: Request, work: Any) -> Any:
    """The result of some work, given up as soon as the client has gone."""
    task = asyncio.ensure_future(work)
    gone = asyncio.create_task(disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        gone.cancel()
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
