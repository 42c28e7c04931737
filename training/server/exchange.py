"""One request and its client: read what it says, notice when it leaves, hear from the engine on its behalf."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Any

from starlette.requests import ClientDisconnect, Request

from training.server.protocol import ApiError

log = logging.getLogger("training.server")
LARGEST_BODY = 32 << 20


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


def into(inbox: asyncio.Queue) -> Callable[[Any], None]:
    """A function for the engine's thread that puts things into an event loop's queue."""
    loop = asyncio.get_running_loop()

    def emit(item: Any) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(inbox.put_nowait, item)

    return emit


def log_line(request: Request, status: int) -> None:
    seconds = time.monotonic() - request.state.began
    log.info("%s %s %s %.3fs%s", request.method, request.url.path, status, seconds, request.state.about)
