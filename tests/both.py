"""Run the default suite on SQLite and, side by side, on PostgreSQL and Redis where they answer.

With STUDIO_TEST_SERVICES=required they must. What the second half says is printed when the first has ended.
"""

import os
import subprocess
import sys
import tempfile

DATABASE = os.environ.get("STUDIO_TEST_DATABASE_URL", "postgres://postgres@127.0.0.1:5432/test")
BROKER = os.environ.get("STUDIO_TEST_BROKER_URL", "redis://127.0.0.1:6379/9")
NO_DATABASE = ["tests/training/recipes", "tests/training/server", "tests/benchmarks"]  # the first half does these


def missing() -> str:
    """Why the second half cannot run, or ''."""
    import psycopg
    import redis

    try:
        psycopg.connect(DATABASE, connect_timeout=3).close()
        redis.Redis.from_url(BROKER, socket_timeout=3).ping()
    except (psycopg.Error, redis.RedisError) as error:
        return f"{type(error).__name__}: {error}".strip()
    return ""


def suite(arguments: list[str], output=None, **env: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "pytest", *arguments]
    return subprocess.Popen(command, env=os.environ | env, stdout=output, stderr=output and subprocess.STDOUT)


def main() -> int:
    extra, why = sys.argv[1:], missing()
    ignored = [f"--ignore={folder}" for folder in NO_DATABASE]
    with tempfile.TemporaryFile("w+") as said:
        print("— SQLite, filesystem broker" + ("; beside it PostgreSQL, Redis" if not why else ""), flush=True)
        served = suite([*ignored, *extra], said, DATABASE_URL=DATABASE, CELERY_BROKER_URL=BROKER) if not why else None
        try:
            embedded = suite(extra, DATABASE_URL="", CELERY_BROKER_URL="").wait()
            if served is None:
                print(f"— PostgreSQL and Redis do not answer ({why}); that half of the suite did not run.")
                return 1 if os.environ.get("STUDIO_TEST_SERVICES") == "required" else embedded
            served.wait()
        finally:
            if served and served.poll() is None:
                served.terminate()
        said.seek(0)
        print(f"— PostgreSQL, Redis\n{said.read()}", flush=True)
        return embedded or served.returncode


if __name__ == "__main__":
    sys.exit(main())
