"""Run the default suite on SQLite and, side by side, on PostgreSQL and Redis where they answer.

Tests that ask a database or a broker run in both halves; what needs neither is dealt out, see `tests.halves`.
With STUDIO_TEST_SERVICES=required they must answer. What the second half says is printed when the first has ended.
"""

import os
import subprocess
import sys
import tempfile

from training.recipes.machine import cores

DATABASE = os.environ.get("STUDIO_TEST_DATABASE_URL", "postgres://postgres@127.0.0.1:5432/test")
BROKER = os.environ.get("STUDIO_TEST_BROKER_URL", "redis://127.0.0.1:6379/9")
THREADS = max(1, cores() // 2)  # of torch: two halves with as many as there are cores would wait for each other


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


def half(database: str, broker: str, alone: bool = False) -> dict[str, str]:
    threads = {} if alone else {"OMP_NUM_THREADS": str(THREADS)}
    return threads | {"DATABASE_URL": database, "CELERY_BROKER_URL": broker}


def main() -> int:
    extra, why = sys.argv[1:], missing()
    with tempfile.TemporaryFile("w+") as said:
        print("— SQLite, filesystem broker" + ("; beside it PostgreSQL, Redis" if not why else ""), flush=True)
        served = None if why else suite(["--half=2", *extra], said, **half(DATABASE, BROKER))
        try:
            embedded = suite(extra if why else ["--half=1", *extra], **half("", "", alone=bool(why))).wait()
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
