"""Many rows at a time: ids reserved beforehand, then COPY where the database has it."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any, TypeVar

from django.db import connection
from django.db.models import Lookup, Model

STATEMENT_ROWS = 1000  # of SQLite: one call stores them while the thread that reads ahead goes on

T = TypeVar("T")


class Among(Lookup):
    """Among(F("id"), ids): all of them as one parameter, where `id__in` spends more on them than the query costs."""

    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list]:
        column, parameters = self.process_lhs(compiler, connection)
        values = json.dumps(list(self.rhs), default=lambda key: key.hex)
        return f"{column} IN (SELECT value FROM json_each(%s))", [*parameters, values]

    def as_postgresql(self, compiler: Any, connection: Any) -> tuple[str, list]:
        column, parameters = self.process_lhs(compiler, connection)
        return f"{column} = ANY(%s)", [*parameters, list(self.rhs)]


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The items (none of them None), each made by a thread while the one before it is in use."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = reader.submit(next, items, None)
            yield item


def reserve(model: type[Model], count: int) -> Sequence[int]:
    """Ids nobody else will get; on SQLite this transaction is the only writer."""
    if not count:
        return []
    table = model._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)", [table, count]
            )
            return [pk for (pk,) in cursor.fetchall()]
        cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = %s", [table])
        last = (cursor.fetchone() or [0])[0]
        return range(last + 1, last + count + 1)


def insert(model: type[Model], columns: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """COPY where the database has it, long prepared statements where not."""
    if not rows:
        return
    table = connection.ops.quote_name(model._meta.db_table)
    fields = ", ".join(map(connection.ops.quote_name, columns.split()))
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor, cursor.copy(f"COPY {table} ({fields}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
    else:
        insert_values(f"INSERT INTO {table} ({fields}) VALUES ", rows)


def insert_values(start: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Straight to sqlite3: Django would rewrite every placeholder of every statement."""
    row = f"({', '.join('?' * len(rows[0]))})"
    statement, whole = start + ", ".join([row] * STATEMENT_ROWS), len(rows) - len(rows) % STATEMENT_ROWS
    with connection.wrap_database_errors:
        for first in range(0, whole, STATEMENT_ROWS):
            values = list(chain.from_iterable(rows[first : first + STATEMENT_ROWS]))
            connection.connection.execute(statement, values)
        connection.connection.executemany(start + row, rows[whole:])
