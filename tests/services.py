"""A database and a broker for a studio in processes of its own, of the kind this run of the tests uses."""

import os
import uuid
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest


@pytest.fixture(scope="session")
def services():
    """`with services() as (database, broker)`: URLs; '' is SQLite, or files, in the studio's home."""

    @contextmanager
    def services():
        with own_database() as database, own_broker() as broker:
            yield database, broker

    return services


@contextmanager
def own_database():
    """URL of a database for one studio: '' is SQLite in its home; on PostgreSQL one that is made and dropped."""
    given = os.environ.get("DATABASE_URL", "")
    if not given.startswith("postgres"):
        yield ""
        return
    import psycopg

    name = f"studio_path_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(given, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            yield urlsplit(given)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def own_broker():
    """URL of a broker for one studio: '' is files in its home; on Redis a database number nobody uses."""
    given = os.environ.get("CELERY_BROKER_URL", "")
    if not given.startswith("redis"):
        yield ""
        return
    import redis

    for number in range(10, 16):
        client = redis.Redis.from_url(url := urlsplit(given)._replace(path=f"/{number}").geturl())
        if client.dbsize() == 0:
            break
    try:
        yield url
    finally:
        client.flushdb()
        client.close()
