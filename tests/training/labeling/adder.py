"""An endpoint that is good at adding: it goes on from any prefix of a sum, and its skill is known.

It answers OpenAI's chat completions over real HTTP. "1 + 2 + 3" is continued from the last value of the prefix with the
terms that are left, so a prefix is completed rightly exactly when it holds no error.
"""

import json
import re
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TERMS = ("What is 1 + 2 + 3 + 4 + 5?", ["1 + 2 = 3", "3 + 3 = 6", "6 + 4 = 10", "10 + 5 = 15", "The answer is 15."])


def flawed(first_error: int | None) -> list[str]:
    """The steps of the sum with its first error at this step, carried on from there."""
    value, steps = 1, []
    for at, term in enumerate((2, 3, 4, 5)):
        result = value + term + (at == first_error)
        steps.append(f"{value} + {term} = {result}")
        value = result
    return [*steps, f"The answer is {value + (first_error == 4)}."]


def going_on(problem: str, prefix: str) -> str:
    """The rest of the solution, from what the prefix says."""
    if "answer is" in prefix:
        return ""
    terms = [int(digits) for digits in re.findall(r"\d+", problem)]
    results = [int(digits) for digits in re.findall(r"= (\d+)", prefix)]
    value, steps = results[-1] if results else terms[0], []
    for term in terms[1 + len(results) :]:
        steps.append(f"{value} + {term} = {value + term}")
        value += term
    return "\n\n".join([*steps, f"The answer is {value}."])


class Adder(ThreadingHTTPServer):
    """`asked` lists the prefixes it was asked to continue, `mute` keeps it from ever answering, `lame` from adding."""

    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.mute = self.lame = False
        self.rest = 0.0
        self.verdict = "Correct."
        threading.Thread(target=self.serve_forever, args=[0.02], daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Adder

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        messages = body["messages"]
        begun = messages[-1]["content"] if messages[-1]["role"] == "assistant" else ""
        self.server.asked.append(begun)
        while self.server.mute:
            time.sleep(0.05)
        time.sleep(self.server.rest)
        text = self.reply(messages, begun)
        choice = {"message": {"content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": len(text.split()) * body.get("n", 1)}
        self.say({"choices": [choice] * body.get("n", 1), "usage": usage})

    def reply(self, messages: list[dict], begun: str) -> str:
        if "Answer with one word" in messages[-1]["content"]:
            return self.judged(messages[-1]["content"])
        return "The answer is 0." if self.server.lame else going_on(messages[-1 - bool(begun)]["content"], begun)

    def judged(self, question: str) -> str:
        """It sees a wrong sum, and says of steps without one what `verdict` is."""
        left, right = re.findall(r"\d+\. (\d+ \+ \d+) = (\d+)", question)[-1]
        last = question.rpartition("Steps:")[2].strip().splitlines()
        if "answer" in "".join(line for line in last if re.match(r"\d+\. The answer", line)):
            return self.server.verdict
        return "correct" if sum(map(int, left.split("+"))) == int(right) else "No, it is incorrect."

    def say(self, data: dict) -> None:
        payload = json.dumps(data).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        with suppress(BrokenPipeError):  # a run that was stopped does not wait
            self.wfile.write(payload)

    def log_message(self, *_):
        pass
