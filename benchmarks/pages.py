"""Server time of the first pages of a warm studio with the demo project, and what the web process weighs.

python -m benchmarks pages
"""

import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time

PAGES = ("/", "/projects/helpful-honest-harmless/", "/projects/helpful-honest-harmless/rank/", "/datasets/", "/train/")
ROUNDS = int(os.environ.get("BENCH_ROUNDS", 20))


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"STUDIO_HOME": home, "DJANGO_SETTINGS_MODULE": "studio.settings"}
        os.environ.pop("DATABASE_URL", None)
        cookie = prepared()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "uvicorn", "studio.asgi:application", "--port", str(port)]
        web = subprocess.Popen([*command, "--log-level", "error", "--lifespan", "off"])
        try:
            print(json.dumps({"benchmark": "pages", "rounds": ROUNDS, **measured(port, cookie, web.pid)}))
        finally:
            web.terminate()
            web.wait(timeout=20)


def prepared() -> str:
    """The demo project in a fresh database; the session cookie of its manager."""
    import django

    django.setup()
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.test import Client

    from annotation.demo import load_demo

    call_command("migrate", verbosity=0)
    admin = get_user_model().objects.create_superuser("admin", password="a long password")
    load_demo(admin)
    client = Client()
    client.force_login(admin)
    return f"sessionid={client.cookies['sessionid'].value}"


def measured(port: int, cookie: str, pid: int) -> dict:
    import psutil

    connection = ready(port)
    times: dict[str, list[float]] = {page: [] for page in PAGES}
    for _ in range(ROUNDS + 1):
        for page in PAGES:
            began = time.perf_counter()
            connection.request("GET", page, headers={"Cookie": cookie})
            reply = connection.getresponse()
            body = reply.read()
            assert reply.status == 200, (page, reply.status, body[:200])
            times[page].append(1000 * (time.perf_counter() - began))
    rows = {page: {"first": taken[0], "median": statistics.median(taken[1:])} for page, taken in times.items()}
    rows = {page: {name: round(value, 1) for name, value in row.items()} for page, row in rows.items()}
    web = psutil.Process(pid)
    libraries = {os.path.basename(region.path) for region in web.memory_maps()}
    return {"ms": rows, "web_mb": round(web.memory_info().rss / 1e6), "torch_loaded": "libtorch.so" in libraries}


def ready(port: int) -> http.client.HTTPConnection:
    for _ in range(200):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.connect()
            return connection
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the web process did not come up")
