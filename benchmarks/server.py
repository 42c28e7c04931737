"""The model server against one `generate` after another, and against `transformers serve` where that starts offline.

python -m benchmarks server            # the starter model of STUDIO_HOME
BENCH_MODEL=/folder python -m benchmarks server
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx

TOKENS = 64
TOPICS = ["rain", "glass", "bread", "tides", "sleep", "maps", "rust", "tea", "bees", "clay", "ferns", "chess"]
TOPICS += ["wool", "snow", "salt", "bells"]
SPINLESS = {"OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}  # the same for the peers


def main() -> None:
    home = os.environ.get("STUDIO_HOME", ".studio")
    model = Path(os.environ.get("BENCH_MODEL") or next(iter(sorted(Path(home, "models").glob("*smollm2*"))), ""))
    if not (model / "config.json").is_file():
        raise SystemExit("No model to measure: set BENCH_MODEL to a model's folder, or make the starter model first.")
    with tempfile.TemporaryDirectory() as folder:
        ours = measure_ours(model.resolve(), Path(folder))
        print(json.dumps({"benchmark": "server", "tokens": TOKENS, **ours, **measure_peers(model.resolve())}))


def measure_ours(model: Path, folder: Path) -> dict:
    make_reward_model(model, folder / "reward")
    command = [sys.executable, "-m", "training.server", "--models", str(folder), "--allow", str(model)]
    with serving(command) as client:
        loading, _ = timed(lambda: chat(client, str(model), "hi", 1))
        figures = {"load_s": round(loading, 2), **measure_chat(client, str(model), (1, 8, 16), ignore_eos=True)}
        return figures | {"scores_per_s": measure_scores(client, "reward")}


def measure_chat(client: httpx.Client, model: str, crowds: tuple[int, ...], **extra) -> dict:
    """First token of one stream (median of 5), then tokens a second with so many streams at once."""
    first = statistics.median(first_token(client, model, topic) for topic in TOPICS[:5])
    figures: dict = {"first_token_s": round(first, 3)}
    for crowd in crowds:
        with ThreadPoolExecutor(crowd) as pool:
            seconds, made = timed(lambda n=crowd: sum(pool.map(lambda t: chat(client, model, t, **extra), TOPICS[:n])))
        figures[f"tokens_per_s_{crowd}"] = round(made / seconds, 1)
    return figures


def measure_scores(client: httpx.Client, model: str) -> float:
    """Conversations of about 150 tokens scored in a second, 64 in one request."""
    items = [{"messages": [*ask(topic), {"role": "assistant", "content": "word " * 110}]} for topic in TOPICS * 4]
    client.post("/v1/score", json={"model": model, "items": items[:4]}).raise_for_status()
    seconds, reply = timed(lambda: client.post("/v1/score", json={"model": model, "items": items}))
    return round(len(reply.raise_for_status().json()["scores"]) / seconds, 1)


def measure_peers(model: Path) -> dict:
    code = f"from benchmarks.server import sequential; print(sequential({str(model)!r}))"
    naive = subprocess.run([sys.executable, "-c", code], env=os.environ | SPINLESS, capture_output=True, text=True)
    peers: dict = {"sequential_generate_tokens_per_s": float(naive.stdout.split()[-1]) if naive.stdout else None}
    command = [str(Path(sys.executable).with_name("transformers")), "serve", "--dtype", "bfloat16"]
    try:
        with serving(command) as client:
            chat(client, str(model), "hi", 1)
            return peers | {"transformers_serve": measure_chat(client, str(model), (1, 8))}
    except (httpx.HTTPError, RuntimeError) as error:
        return peers | {"transformers_serve": f"did not run: {str(error)[:200]}"}


def sequential(model: str) -> float:
    """Tokens a second of `generate`, one question after the other, in the precision the server takes."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from training.server.devices import device_of, dtype_of

    device = device_of("auto")
    tokenizer = AutoTokenizer.from_pretrained(model)
    dtype = getattr(torch, dtype_of("auto", device))
    network = AutoModelForCausalLM.from_pretrained(model, dtype=dtype).to(device)

    def answer(topic: str, tokens: int = TOKENS) -> None:
        prompt = tokenizer.apply_chat_template(
            ask(topic), add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        network.generate(**prompt.to(device), min_new_tokens=tokens, max_new_tokens=tokens, do_sample=True)

    answer("hi", 2)
    seconds, _ = timed(lambda: [answer(topic) for topic in TOPICS[:4]])
    return round(4 * TOKENS / seconds, 1)


def ask(topic: str) -> list[dict]:
    return [{"role": "user", "content": f"Tell me something about {topic} that few people know."}]


def chat(client: httpx.Client, model: str, topic: str, tokens: int = TOKENS, **extra) -> int:
    """Tokens of one whole streamed answer; every event that carries text is one token."""
    body = {"model": model, "messages": ask(topic), "max_tokens": tokens, "stream": True} | extra
    with client.stream("POST", "/v1/chat/completions", json=body) as reply:
        if reply.is_error:
            raise RuntimeError(reply.read().decode())
        return sum('"content": "' in line or '"content":"' in line for line in reply.iter_lines())


def first_token(client: httpx.Client, model: str, topic: str) -> float:
    began = time.perf_counter()
    body = {"model": model, "messages": ask(topic), "max_tokens": 4, "stream": True}
    with client.stream("POST", "/v1/chat/completions", json=body) as reply:
        for line in reply.iter_lines():
            if line.startswith("data: {") and json.loads(line[6:])["choices"][0]["delta"].get("content"):
                return time.perf_counter() - began
    raise RuntimeError("no token came")


def timed(work) -> tuple:
    began = time.perf_counter()
    done = work()
    return time.perf_counter() - began, done


@contextmanager
def serving(command: list[str]):
    """A client of a server that runs as long as the block does."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environment = os.environ | SPINLESS | {"STUDIO_SERVER_TOKEN": ""}
    process = subprocess.Popen([*command, "--host", "127.0.0.1", "--port", str(port)], env=environment, **quiet)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=300) as client:
            wait_for(client, process)
            yield client
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()


def wait_for(client: httpx.Client, process: subprocess.Popen) -> None:
    for _ in range(300):
        if process.poll() is not None:
            raise RuntimeError(f"{' '.join(process.args[:3])} ended at once")
        try:
            client.get("/health")
            return
        except httpx.TransportError:
            time.sleep(0.2)
    raise RuntimeError("it did not start in a minute")


def make_reward_model(start: Path, folder: Path) -> None:
    """The same network with a score head, untrained: its speed is that of a trained one."""
    code = (
        "import sys; from transformers import AutoModelForSequenceClassification, AutoTokenizer\n"
        "start, folder = sys.argv[1:]\n"
        "AutoTokenizer.from_pretrained(start).save_pretrained(folder)\n"
        "AutoModelForSequenceClassification.from_pretrained(start, num_labels=1).save_pretrained(folder)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(start), str(folder)], check=True, capture_output=True)


if __name__ == "__main__":
    main()
