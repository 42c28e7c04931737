"""The HTTP application: who may ask, what there is to ask, and the short answers."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from training.server import protocol
from training.server.chat import chat
from training.server.continuing import rollouts
from training.server.engine import Engine, Lane
from training.server.exchange import log_line, read_json, unless_gone
from training.server.folders import Options, models_under, task_of
from training.server.loading import Model
from training.server.protocol import ApiError
from training.server.shelf import Shelf
from training.server.step_scores import score_steps, solution_window

log = logging.getLogger("training.server")


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
        ("/v1/score_steps", score_steps, "POST"),
        ("/v1/rollouts", rollouts, "POST"),
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


async def not_found(request: Request, error: Any) -> Response:
    log.info("%s %r %s", request.method, request.url.path, error.status_code)
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


async def score(request: Request) -> Response:
    """POST /v1/score: one reward for each conversation."""
    name, items = protocol.read_score(await read_json(request))
    return JSONResponse(await unless_gone(request, scored(request, name, items)))


async def scored(request: Request, name: str, items: list[list[dict]]) -> dict:
    shelf: Shelf = request.app.state.shelf
    async with shelf.borrow(name) as lane:
        tokens = await asyncio.to_thread(prepare_items, lane.model, items)
        scores = await shelf.engine.scored(lane, tokens)
    if lane.model.task == "outcome":
        scores = [probability for (probability,) in scores]
    request.state.about = f" {name} {len(items)} items {sum(map(len, tokens))} tokens"
    usage = protocol.usage(sum(map(len, tokens)), 0)
    return {"object": "list", "model": name, "scores": scores, "usage": usage}


def prepare_items(model: Model, items: list[list[dict]]) -> list[Any]:
    """Tokens of each conversation; for an outcome reward model, the window its solution is read in."""
    if model.task == "outcome":
        return [solution_window(model, messages, f"items[{index}]") for index, messages in enumerate(items)]
    if model.task == "steps":
        raise ApiError(400, f"{model.name} scores steps: POST /v1/score_steps", "wrong_task", "model")
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
