"""The studio's settings over a home of their own: no test touches the studio on this machine."""

import atexit
import os
import shutil
import tempfile

os.environ["STUDIO_HOME"] = tempfile.mkdtemp(prefix="studio-test-")
atexit.register(shutil.rmtree, os.environ["STUDIO_HOME"], ignore_errors=True)
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported: two halves share the cores
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # Playwright's sync API runs an event loop

from studio.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):  # noqa: F405
    # A file, as in production: threads of an in-memory database share one connection's locks.
    DATABASES["default"]["TEST"] = {"NAME": f"{os.environ['STUDIO_HOME']}/test.sqlite3"}  # noqa: F405
