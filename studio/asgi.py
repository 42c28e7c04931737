"""The web process's entry point: async views on the event loop, all others in threads that stay.

Django's own ASGI handler starts a thread and opens a database connection for every request of a sync view, and gathers
what such a view streams. Through WSGI, in a pool of threads, a request costs a quarter less and streams as it should.
The turns of the labeling pages have threads of their own, and no WSGI between: they are short, and never streamed.
"""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "studio.settings")

from a2wsgi import WSGIMiddleware
from asgiref.sync import iscoroutinefunction
from django.core.asgi import get_asgi_application
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIRequest, get_script_prefix
from django.core.handlers.base import BaseHandler
from django.core.signals import request_started
from django.core.wsgi import get_wsgi_application
from django.urls import Resolver404, resolve, set_script_prefix

TURNS = {
    f"{page}_{turn}" for page in ("rank", "steps") for turn in ("next", "submit", "draft")
}  # what labelers do all day: never behind somebody's download

on_the_loop = get_asgi_application()
in_threads = WSGIMiddleware(get_wsgi_application(), workers=8)


class InTurn(BaseHandler):
    """Whole answers of sync views, each made by one of a few threads: they compute more than they wait."""

    def __init__(self, workers: int):
        self.load_middleware()
        self.threads = ThreadPoolExecutor(workers, "turn")

    async def __call__(self, scope, receive, send) -> None:
        try:
            body = await on_the_loop.read_body(receive)
        except RequestAborted:
            return
        response = await asyncio.get_running_loop().run_in_executor(self.threads, self.answer, scope, body)
        headers = [(name.encode("ascii"), value.encode("latin1")) for name, value in response.items()]
        headers += [(b"Set-Cookie", cookie.OutputString().encode("ascii")) for cookie in response.cookies.values()]
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": response.content})

    def answer(self, scope, body):
        set_script_prefix(get_script_prefix(scope))
        request_started.send(sender=type(self), scope=scope)
        with body:
            response = self.get_response(ASGIRequest(scope, body))
            response.close()  # in this thread: it gives back the thread's connection
        return response


in_turn = InTurn(workers=3)


def place_of(path: str):
    try:
        found = resolve(path)
    except Resolver404:
        return in_threads
    if iscoroutinefunction(found.func):
        return on_the_loop
    return in_turn if found.url_name in TURNS else in_threads


async def application(scope, receive, send) -> None:
    place = place_of(scope["path"]) if scope["type"] == "http" else on_the_loop
    await place(scope, receive, send)
