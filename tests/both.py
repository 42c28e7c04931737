"""Run the default suite on SQLite, then on PostgreSQL and Redis where they answer.

With STUDIO_TEST_SERVICES=required they must.
"""

import os
import subprocess
import sys

DATABASE = os.environ.get("STUDIO_TEST_DATABASE_URL", "postgres://postgres@127.0.0.1:5432/test")
BROKER = os.environ.get("STUDIO_TEST_BROKER_URL", "redis://127.0.0.1:6379/9")
NO_DATABASE = ["tests/training/recipes", "tests/training/server", "tests/benchmarks"]  # the first pass did these


def missing() -> str:
    """Why the second pass cannot run, or ''."""
    import psycopg
    import redis

    try:
        psycopg.connect(DATABASE, connect_timeout=3).close()
        redis.Redis.from_url(BROKER, socket_timeout=3).ping()
    except (psycopg.Error, redis.RedisError) as error:
        return f"{type(error).__name__}: {error}".strip()
    return ""


def suite(arguments: list[str], **env: str) -> int:
    return subprocess.call([sys.executable, "-m", "pytest", *arguments], env=os.environ | env)


def main() -> int:
    extra = sys.argv[1:]
    print("— SQLite, filesystem broker", flush=True)
    first = suite(extra, DATABASE_URL="", CELERY_BROKER_URL="")
    if why := missing():
        print(f"— PostgreSQL and Redis do not answer ({why}); that half of the suite did not run.")
        return 1 if os.environ.get("STUDIO_TEST_SERVICES") == "required" else first
    print("— PostgreSQL, Redis", flush=True)
    ignored = [f"--ignore={folder}" for folder in NO_DATABASE]
    second = suite([*ignored, *extra], DATABASE_URL=DATABASE, CELERY_BROKER_URL=BROKER)
    return first or second


if __name__ == "__main__":
    sys.exit(main())
