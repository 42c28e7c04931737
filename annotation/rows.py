"""One row by one plain statement: what every request asks for, at a fraction of what building a query costs."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from django.db import connection
from django.db.models import Model
from django.db.models.query import QuerySet

Parameters = Sequence[Any] | dict[str, Any]


def fetch(sql: str, parameters: Parameters) -> tuple | None:
    """The statement's first row. PostgreSQL plans it once a connection: that takes longer than to run it."""
    if connection.vendor == "postgresql":
        return prepared(sql, parameters)
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchone()


def prepared(sql: str, parameters: Parameters) -> tuple | None:
    import psycopg

    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        return cursor.execute(sql, parameters, prepare=True).fetchone()


def one(model: type[Model], where: str, parameters: Parameters) -> Any:
    """The model's row for which `where` holds, or None."""
    names, select, converted = reading(model, connection.vendor)
    row = fetch(f"{select} WHERE {where}", parameters)
    return row and model.from_db("default", names, converted(row))


@cache
def reading(model: type[Model], vendor: str) -> tuple[list[str], str, Callable[[tuple], Sequence[Any]]]:
    """A model's columns, the SELECT of them, and what makes its fields' values of a row."""
    fields, table = model._meta.concrete_fields, model._meta.db_table
    compiler = QuerySet(model).query.get_compiler(connection=connection)
    converters = compiler.get_converters([field.get_col(table) for field in fields])
    columns = ", ".join(connection.ops.quote_name(field.column) for field in fields)

    def converted(row: tuple) -> Sequence[Any]:
        return next(iter(compiler.apply_converters([row], converters))) if converters else row

    return [field.attname for field in fields], f"SELECT {columns} FROM {table}", converted
