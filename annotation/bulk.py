"""Many rows at a time: ids reserved beforehand, then COPY where the database has it."""

from collections.abc import Sequence
from typing import Any

from django.db import connection
from django.db.models import Model


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
    """COPY where the database has it, one prepared statement run many times where not."""
    if not rows:
        return
    names, table = columns.split(), connection.ops.quote_name(model._meta.db_table)
    fields = ", ".join(connection.ops.quote_name(name) for name in names)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {table} ({fields}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        else:
            marks = ", ".join(["%s"] * len(names))
            cursor.executemany(f"INSERT INTO {table} ({fields}) VALUES ({marks})", rows)
