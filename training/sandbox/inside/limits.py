"""Give up, for good, what the program that follows could take too much of."""

import resource


def apply(limits: dict) -> None:
    """Soft and hard alike: nothing inside may raise them again."""
    seconds = int(limits["seconds"]) + 1
    wanted = {
        "CPU": seconds,
        "AS": limits["memory"],
        "NOFILE": limits["files"],
        "FSIZE": 0,
        "CORE": 0,
        "MEMLOCK": 0,
        "MSGQUEUE": 0,
        "SIGPENDING": 64,
    }
    if limits["threads"]:
        wanted["NPROC"] = limits["threads"]
    for name, value in wanted.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
