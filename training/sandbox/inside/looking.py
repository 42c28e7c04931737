"""Look around inside a sandbox, and print whatever should not be there."""

import os
import socket

EXPECTED = ("code", "dev", "lib", "lib64", "python", "tmp")


def main() -> None:
    found = [f"it sees /{name}" for name in os.listdir("/") if name not in EXPECTED]
    found += [f"it sees the other processes, being number {os.getpid()}"] * (os.getpid() > 3)
    found += [f"it holds descriptor {number}" for number in range(3, 64) if works(os.fstat, number)]
    found += [f"it sees the variable {name}" for name in os.environ if name not in ENVIRONMENT]
    found += [what for what, act in FORBIDDEN.items() if works(*act)]
    print(*found, sep=", ")


def works(act, *arguments) -> bool:
    try:
        act(*arguments)
    except OSError:
        return False
    return True


def child() -> None:
    if not os.fork():
        os._exit(0)


ENVIRONMENT = ("LD_LIBRARY_PATH", "PYTHONHASHSEED", "PYTHONPATH", "LANG", "PWD", "LC_CTYPE")
FORBIDDEN = {
    "it starts processes": (child,),
    "it opens sockets": (socket.socket,),
    "it writes files in /tmp": (open, "/tmp/file", "w"),
    "it writes files at the root": (open, "/file", "w"),
    "it changes the mode of /dev/null": (os.chmod, "/dev/null", 0o666),
    "it writes into Python": (open, "/python/file", "w"),
}
