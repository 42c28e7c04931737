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

THREADS = 8

on_the_loop = get_asgi_application()
in_threads = WSGIMiddleware(get_wsgi_application(), workers=THREADS)


def is_async(path: str) -> bool:
    try:
        return iscoroutinefunction(resolve(path).func)
    except Resolver404:
        return False


async def application(scope, receive, send) -> None:
    sync = scope["type"] == "http" and not is_async(scope["path"])
    await (in_threads if sync else on_the_loop)(scope, receive, send)
