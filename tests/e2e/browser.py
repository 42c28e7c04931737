"""Find a Chromium for the browser tests, or install one: from the system's packages, else Playwright's own."""

import os
import shutil
import subprocess
import sys

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def chromium() -> str | None:
    """Path of a Chromium on this machine; None leaves it to Playwright's own download."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def install() -> int:
    if chromium():
        return 0
    print("· Chromium for the browser tests", flush=True)
    if shutil.which("apt-get") and os.geteuid() == 0:
        quiet = {"env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"}, "stdout": subprocess.DEVNULL}
        subprocess.call(["apt-get", "update", "-qq"], **quiet)
        if subprocess.call(["apt-get", "install", "-y", "-qq", "chromium", "fonts-noto-core"], **quiet) == 0:
            return 0
    return subprocess.call([sys.executable, "-m", "playwright", "install", "chromium"])


CUT_OFF = ("htmx:afterRequest", "htmx:sendAbort", "htmx:sendError")


def complains(message) -> bool:
    """Whether a message of the console is a complaint.

    htmx logs a request that was under way when the page was left; of a server that is away the browser speaks itself.
    """
    return message.type == "error" and not message.text.startswith(CUT_OFF)


def eventually(page, check, said: str = ""):
    """Wait until `check` holds: what a page sends arrives a moment later."""
    for _ in range(100):
        if check():
            return
        page.wait_for_timeout(50)
    assert check(), said


if __name__ == "__main__":
    sys.exit(install())
