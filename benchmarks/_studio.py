"""A studio of a benchmark's own over a fresh database, and the time, CPU and memory that a piece of work took."""

import os
import tempfile
import time
from contextlib import contextmanager
from threading import Event, Thread

from benchmarks.labeling import database_of_its_own


@contextmanager
def fresh_studio():
    """Django set up over an empty database (PostgreSQL where DATABASE_URL says so); yields its vendor."""
    with tempfile.TemporaryDirectory() as home, database_of_its_own():
        os.environ |= {"STUDIO_HOME": home, "DJANGO_SETTINGS_MODULE": "studio.settings"}
        import django

        django.setup()
        from django.core.management import call_command
        from django.db import connections

        call_command("migrate", verbosity=0)
        try:
            yield connections["default"].vendor
        finally:
            for connection in connections.all():
                connection.close()
                getattr(connection, "close_pool", lambda: None)()


@contextmanager
def measured():
    """Fills a dict with seconds, cpu seconds of this process, and growth in MB of its peak memory.

    Counted is what the process holds of its own: pages of the database's file, which SQLite maps and the system takes
    back when it likes, would count as its memory otherwise.
    """
    found, over, peak = {}, Event(), [own_mb()]
    watch = Thread(target=lambda: [peak.append(own_mb()) for _ in iter(lambda: over.wait(0.02), True)], daemon=True)
    watch.start()
    cpu, began = time.process_time(), time.perf_counter()
    try:
        yield found
    finally:
        found |= {"s": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}
        over.set()
        watch.join()
        found |= {"peak_growth_mb": max(peak) - peak[0]}


def own_mb() -> float:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024


def rates(found: dict, rows: int) -> dict:
    """Rows a second of wall time, and of CPU time: the second holds on a busy machine too."""
    return {
        "rows": rows,
        "s": round(found["s"], 2),
        "rows_per_s": round(rows / found["s"]),
        "rows_per_cpu_s": round(rows / found["cpu_s"]),
        "peak_growth_mb": round(found["peak_growth_mb"], 1),
    }
