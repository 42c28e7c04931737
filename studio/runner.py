"""Start the studio's processes side by side under honcho, and stop every one of them together."""

import os
import shlex
import socket
import sys
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.utils.crypto import get_random_string

STUDIO = [sys.executable, "-m", "studio"]


def celery_command(name: str, queue: str, concurrency: int) -> list[str]:
    """A Celery worker of one queue. Threads: its work waits for files, databases and child processes."""
    arguments = ["-A", "studio", "worker", "-n", f"{name}-{os.getpid()}@%h", "-Q", queue, "--loglevel", "INFO"]
    arguments += ["--pool", "threads", "--concurrency", str(concurrency)]
    return [
        sys.executable, "-m", "celery", *arguments, "--without-gossip", "--without-mingle", "--without-heartbeat",
    ]  # fmt: skip


def celery_worker(name: str, queue: str, concurrency: int) -> None:
    """Become that worker."""
    os.chdir(settings.BASE_DIR)
    command = celery_command(name, queue, concurrency)
    os.execv(command[0], command)


def free_port(wanted: int) -> int:
    """`wanted` if nobody listens there, else the next one free."""
    for port in range(wanted, wanted + 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise SystemExit(f"No free port from {wanted} on; set STUDIO_PORT.")


def first_login() -> str:
    """Make the first admin with a password shown once; later starts say nothing."""
    users = get_user_model().objects
    if users.filter(is_superuser=True).exists():
        return ""
    password = get_random_string(16)
    users.create_superuser("admin", "", password, about="The first admin, made when the studio first started")
    return f"Log in as admin with the password {password}\n(shown this once; change it on your account page)"


def lasting(command: list[str], log: Path | None) -> str:
    """A shell line that starts the command again when it fails, until it is told to stop."""
    line = shlex.join(command)
    redirect = f" >> {shlex.quote(str(log))} 2>&1" if log else ""
    return f"while :; do {line}{redirect} && break; echo '{command[-1]} ended; starting it again'; sleep 2; done"


def environment() -> dict:
    """Ports that are free, for the processes and for whoever reads their addresses."""
    port = free_port(int(settings.PORT))
    wanted = int(settings.MODEL_SERVER_URL.rsplit(":", 1)[-1])
    server = free_port(max(wanted, port + 1) if wanted == port else wanted)
    return os.environ | {
        "STUDIO_PORT": str(port),
        "STUDIO_MODEL_SERVER_URL": f"http://127.0.0.1:{server}",
        "STUDIO_SERVER_TOKEN": settings.SERVER_TOKEN,
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(settings.BASE_DIR), os.environ.get("PYTHONPATH")])),
    }


def run(quiet: bool = False, demo: bool = False, stop: bool = False) -> int:
    """Run web, worker, trainer and model server until Ctrl+C; return the exit status."""
    from honcho.manager import Manager
    from honcho.printer import Printer

    call_command("migrate", verbosity=0)
    env, login = environment(), first_login()
    logs = settings.HOME / "logs"
    logs.mkdir(exist_ok=True)
    quiet = quiet or demo
    manager = Manager(Printer(sys.stdout, prefix=not quiet))
    if quiet:
        manager._system_print = lambda text: None
    for name in ("web", "worker", "trainer", "server"):
        manager.add_process(name, lasting([*STUDIO, name], logs / f"{name}.log" if quiet else None), env=env)
    if demo:
        rest = "" if stop else " && sleep infinity"
        manager.add_process("demo", f"{shlex.join([*STUDIO, 'demo', '--steps-only'])}{rest}", env=env)
    print(f"The studio runs at http://127.0.0.1:{env['STUDIO_PORT']}\n{login}".strip(), flush=True)
    manager.loop()
    from training.jobs import stop_children

    stop_children()
    return 0 if manager.returncode in (0, 130, 143) else manager.returncode
