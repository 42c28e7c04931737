"""The web process's entry point: async views on the event loop, all others in threads that stay.

Django's own ASGI handler starts a thread and opens a database connection for every request of a sync view, and gathers
what such a view streams. Through WSGI, in a pool of threads, a request costs a quarter less and streams as it should.
"""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "studio.settings")

from a2wsgi import WSGIMiddleware
from asgiref.sync import iscoroutinefunction
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.urls import Resolver404, resolve

TURNS = {"rank_next", "rank_submit", "rank_draft"}  # what labelers do all day: never behind somebody's download

on_the_loop = get_asgi_application()
wsgi = get_wsgi_application()
in_threads = WSGIMiddleware(wsgi, workers=8)
in_turn = WSGIMiddleware(wsgi, workers=3)  # few, so that each is done soon: they compute more than they wait


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
