"""One sandboxed process as seen from outside: started, talked to within limits, and ended with all it started."""

import json
import marshal
import os
import platform
import selectors
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from training.sandbox import runtime


@dataclass(frozen=True)
class Limits:
    """What one case may take."""

    seconds: float = 6.0  # by the clock for the whole case, and of CPU for each of its processes
    memory: int = 512 << 20  # bytes of address space
    output: int = 1 << 20  # bytes a process may say at once, and print in all
    files: int = 32
    threads: int = 64

    def inside(self) -> dict[str, Any]:
        """As the process applies them to itself. Before Linux 5.14 threads are counted over the whole machine."""
        counted = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2]) >= (5, 14)
        threads = self.threads if counted else 0
        return {"seconds": self.seconds, "memory": self.memory, "files": self.files, "threads": threads}


class Stopped(Exception):
    """The process ended, said too much, or took too long: whatever it was asked, it did not answer."""


class NotStarted(RuntimeError):
    """The sandbox itself could not start: nothing was judged."""


class Cell:
    def __init__(self, module: str, limits: Limits, deadline: float):
        self.limits, self.deadline = limits, deadline
        self.process = runtime.launch(module)
        self.said = bytearray()
        for pipe in (self.process.stdin, self.process.stdout):
            os.set_blocking(pipe.fileno(), False)

    def __enter__(self) -> "Cell":
        return self

    def __exit__(self, *_) -> None:
        self.end()

    def begin(self, job: dict[str, Any]) -> None:
        """Hand over the job, and hear that the process has put its own limits on."""
        self.send(job | {"limits": self.limits.inside()})
        self.hear_start(b'{"hello":true}')

    def begin_script(self, source: str) -> None:
        """Hand over a program; what is written next is its input."""
        self.send({"source": source, "limits": self.limits.inside()})
        self.hear_start(b"begun")

    def hear_start(self, greeting: bytes) -> None:
        try:
            line = self.line()
        except Stopped as error:
            line = str(error).encode()
        if line.strip() != greeting:
            raise NotStarted(self.trouble() or line.decode(errors="replace"))

    def trouble(self) -> str:
        """What bubblewrap had to say, when it could not start."""
        os.set_blocking(self.process.stderr.fileno(), False)
        text = (self.process.stderr.read(4096) or b"").decode(errors="replace").strip()
        return text.splitlines()[-1] if text else ""

    def send(self, message: dict[str, Any]) -> None:
        try:
            data = marshal.dumps(message)
        except ValueError:
            raise Stopped("it sent a value too deep to pass on") from None
        self.write(f"{len(data):12d}".encode() + data)

    def receive(self) -> dict[str, Any]:
        """The next message; Stopped for anything that is none."""
        try:
            message = json.loads(self.line())
        except (ValueError, RecursionError):
            raise Stopped("it sent something that is no message") from None
        if not isinstance(message, dict):
            raise Stopped("it sent something that is no message")
        return message

    def write(self, data: bytes) -> None:
        """All of it, or Stopped: a process that does not read cannot make us wait past the deadline."""
        with suppress(BrokenPipeError):  # it ended; reading says so
            for _ in self.turns(self.process.stdin, selectors.EVENT_WRITE):
                data = data[os.write(self.process.stdin.fileno(), data[: 1 << 16]) :]
                if not data:
                    return

    def line(self) -> bytes:
        while b"\n" not in self.said:
            if not self.read():
                raise Stopped(f"it ended{self.how()}")
        line, _, rest = self.said.partition(b"\n")
        self.said = bytearray(rest)
        return bytes(line)

    def rest(self) -> bytes:
        """Everything it says until it ends."""
        while self.read():
            pass
        return bytes(self.said)

    def read(self) -> bool:
        """Wait for more; False at the end."""
        for _ in self.turns(self.process.stdout, selectors.EVENT_READ):
            data = os.read(self.process.stdout.fileno(), 1 << 16)
            self.said += data
            if len(self.said) > self.limits.output:
                raise Stopped(f"it said more than {self.limits.output >> 10} KiB")
            return bool(data)
        return False

    def turns(self, pipe: Any, event: int):
        """Once each time the pipe is ready; Stopped at the deadline."""
        with selectors.DefaultSelector() as ready:
            ready.register(pipe, event)
            while ready.select(max(0.0, self.deadline - time.monotonic())):
                yield
        raise Stopped(f"it took more than {self.limits.seconds:g} s")

    def how(self) -> str:
        """How it ended, in words."""
        with suppress(Exception):
            code = self.process.wait(1)
            names = {
                137: ", killed (out of memory or CPU time)",
                139: " by a segmentation fault",
                152: ", out of CPU time",
            }
            return names.get(code, f" with exit code {code}" if code else "")
        return ""

    def exit_code(self) -> int:
        """Of a process that has said all it will."""
        try:
            return self.process.wait(max(0.1, self.deadline - time.monotonic()))
        except Exception:
            raise Stopped(f"it took more than {self.limits.seconds:g} s") from None

    def end(self) -> None:
        """Kill the group; what is inside dies with it. The pipe closes when the last of them is gone."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.deadline, self.said = time.monotonic() + 2, bytearray()
        with suppress(Stopped, OSError):
            while self.read():
                self.said.clear()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            with suppress(OSError):
                pipe.close()
