"""Compare mathematical answers with math-verify, in a child process that is ended when a comparison never ends."""

import atexit
import json
import selectors
import subprocess
import sys
import threading

SECONDS = 2  # for reading an answer, and again for comparing two
DEADLINE = 10.0  # seconds after which the child is ended
MEMORY = 2 << 30  # bytes the child may take
LONGEST = 2000  # characters of an answer


def same_in_mathematics(said: str, wanted: str) -> bool:
    """Whether two answers are one value. What cannot be read or compared in time is not the same."""
    if not said.strip() or max(len(said), len(wanted)) > LONGEST:
        return False
    return CHILD.ask(said, wanted)


class Child:
    """One process for all threads: math-verify stops endless algebra by signals, which only a main thread gets."""

    def __init__(self, script: str = __file__, deadline: float | None = None):
        self.script, self.deadline = script, deadline
        self.lock = threading.Lock()
        self.process: subprocess.Popen | None = None

    def ask(self, said: str, wanted: str) -> bool:
        return self.answer([said, wanted]) == b"1"

    def answer(self, question: object) -> bytes:
        """What the child says to a question, b"" when it said nothing in time and was ended."""
        line = json.dumps(question).encode() + b"\n"
        with self.lock:
            try:
                answer = self.exchange(line)
            except OSError:  # it was ended between two questions
                self.end()
                answer = self.exchange(line)
            if not answer:
                self.end()
        return answer

    def exchange(self, line: bytes) -> bytes:
        """The child's answer, b"" when it gave none in time."""
        if self.process is None or self.process.poll() is not None:
            command = [sys.executable, "-P", self.script]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            self.process = subprocess.Popen(command, **pipes, bufsize=0)
            self.wait(60)  # its first line: it has loaded
        self.process.stdin.write(line)
        return self.wait(self.deadline or DEADLINE)

    def wait(self, seconds: float) -> bytes:
        with selectors.DefaultSelector() as ready:
            ready.register(self.process.stdout, selectors.EVENT_READ)
            return self.process.stdout.readline().strip() if ready.select(seconds) else b""

    def end(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
        self.process = None


CHILD = Child()
atexit.register(CHILD.end)


def serve() -> None:
    """The child: a JSON pair a line in, 1 or 0 a line out."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    from math_verify import parse, verify

    print("ready", flush=True)
    for line in sys.stdin:
        said, wanted = ([*parse(f"${text}$", parsing_timeout=SECONDS)] for text in json.loads(line))
        try:
            same = bool(said and wanted) and verify(wanted, said, timeout_seconds=SECONDS)
        except Exception:  # algebra fails in many ways; none of them shows that the answers are the same
            same = False
        print(int(same), flush=True)


if __name__ == "__main__":
    serve()
