"""Completions of every step of traces: the rollouts engine against one `generate` call a prefix, in tokens a second.

BENCH_MODEL=/folder python -m benchmarks rollouts        # any chat model; else the starter model of STUDIO_HOME

Both sides run the same traces in the same precision. `generate` is given its best: all n completions of a prefix in one
call. Tokens are those up to a completion's end; what is computed after it does not count.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

N, NEW_TOKENS, TRACES = 8, 40, 6
AGREEING = 2  # traces whose greedy completions are compared, in float32
THINGS = ("apples", "marbles", "stamps", "shells", "coins", "pencils")


def main() -> None:
    import torch

    model = Path(os.environ.get("BENCH_MODEL") or next(iter(starters()), ""))
    if not (model / "config.json").is_file():
        raise SystemExit("No model to measure: set BENCH_MODEL to a model's folder, or make the starter model first.")
    traces = [trace(at) for at in range(TRACES)]
    with torch.inference_mode():
        print(json.dumps({"benchmark": "rollouts", **speeds(model, traces), **agreement(model, traces[:AGREEING])}))


def starters() -> list[Path]:
    return sorted(Path(os.environ.get("STUDIO_HOME", ".studio"), "models").glob("*smollm2*"))


def trace(at: int) -> tuple[list[dict], list[str], int]:
    """A problem, its eight worked steps and its answer."""
    thing, have = THINGS[at % len(THINGS)], 20 + 3 * at
    lines, total = [], have
    question = [f"Ann has {have} {thing}."]
    for step, number in enumerate((7, 5, 12, 4, 9, 6, 8)):
        gains = step % 2 == 0
        total += number if gains else -number
        question.append(f"Then she {'finds' if gains else 'loses'} {number} {thing}.")
        before = total - number if gains else total + number
        sign = "+" if gains else "-"
        lines.append(f"After that she has {before} {sign} {number} = {total} {thing}, as the story tells it.")
    question.append(f"How many {thing} does she have in the end? Work step by step.")
    return [{"role": "user", "content": " ".join(question)}], [*lines, f"So the answer is {total}."], total


def prefixes(steps: list[str]) -> list[str]:
    """The prompt alone, and every beginning but the whole."""
    return ["".join(step + "\n\n" for step in steps[:kept]) for kept in range(len(steps))]


def load(folder: Path, dtype: str) -> Any:
    from training.server.devices import device_of
    from training.server.folders import Options
    from training.server.loading import load

    return load(folder.name, folder, Options(models=folder.parent, device=device_of("auto"), dtype=dtype))


def speeds(folder: Path, traces: list) -> dict[str, Any]:
    from training.server.devices import device_of, dtype_of

    dtype = dtype_of("auto", device_of("auto"))
    model = load(folder, dtype)
    ours(model, traces[:1], n=1)  # the first call pays for what is made once
    made, seconds = timed(lambda: ours(model, traces, N, temperature=1.0).completion_tokens)
    naive_made, naive_seconds = timed(lambda: sum(len(ids) for ids in one_by_one(model, traces[:1], N)))
    fast, slow = made / seconds, naive_made / naive_seconds
    return {
        "dtype": dtype, "n": N, "new_tokens": NEW_TOKENS, "steps": len(traces[0][1]),
        "tokens_per_s": round(fast, 1), "generate_a_prefix_tokens_per_s": round(slow, 1),
        "times": round(fast / slow, 2),
    }  # fmt: skip


def agreement(folder: Path, traces: list) -> dict[str, Any]:
    """Greedy completions of both, and the labels that the last number gives them."""
    from training.verifiers import VERIFIERS

    model = load(folder, "float32")
    mine = [text for item in ours(model, traces, n=1).texts for prefix in item for text in prefix]
    theirs = [model.tokenizer.decode(ids, skip_special_tokens=True) for ids in one_by_one(model, traces, n=1)]
    texts = list(zip(mine, theirs, strict=True))
    references = [str(answer) for _, steps, answer in traces for _ in steps]
    said = VERIFIERS["last_number"]
    labels = [(said(a, answer), said(b, answer)) for (a, b), answer in zip(texts, references, strict=True)]
    return {
        "greedy_completions": len(texts),
        "same_texts": sum(a == b for a, b in texts),
        "same_labels": sum(a == b for a, b in labels),
    }


def ours(model: Any, traces: list, n: int, temperature: float = 0.0) -> Any:
    """The finished job of all prefixes of all traces."""
    from training.server.rollouts import RolloutJob, run
    from training.server.sampling import Sampling

    items = [model.encode_begun(messages, prefixes(steps), add_generation_prompt=True) for messages, steps, _ in traces]
    job = RolloutJob(items, Sampling(temperature, seed=1), n, NEW_TOKENS, (), emit=lambda done: None)
    run(model, [job])
    return job


def one_by_one(model: Any, traces: list, n: int) -> list[list[int]]:
    """A `generate` call for each prefix; what follows an end token is left out."""
    import torch

    found = []
    for messages, steps, _ in traces:
        for ids in model.encode_begun(messages, prefixes(steps), add_generation_prompt=True):
            inputs = torch.tensor([ids], device=model.device)
            sampling = {"do_sample": True, "top_k": 0, "temperature": 1.0} if n > 1 else {"do_sample": False}
            out = model.network.generate(
                inputs, attention_mask=torch.ones_like(inputs), max_new_tokens=NEW_TOKENS, num_return_sequences=n,
                pad_token_id=model.pad or 0, **sampling,
            )  # fmt: skip
            found += [until_end(row, model.eos) for row in out[:, len(ids) :].tolist()]
    return found


def until_end(ids: list[int], eos: frozenset[int]) -> list[int]:
    end = next((at for at, token in enumerate(ids) if token in eos), len(ids))
    return ids[: end + 1]


def timed(work) -> tuple[int, float]:
    began = time.perf_counter()
    return work(), time.perf_counter() - began


if __name__ == "__main__":
    main()
