"""Short transactions that many threads want at once."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from threading import Lock

from django.db import connection, transaction

TURN = Lock()


@contextmanager
def writing() -> Iterator[None]:
    """One transaction. On SQLite the threads of a process queue here: waiting for the file's lock means
    sleeping up to 0.1 s at a time, with no order, and the unlucky wait for a second."""
    queue = connection.vendor == "sqlite" and not connection.in_atomic_block
    with TURN if queue else nullcontext(), transaction.atomic():
        yield
