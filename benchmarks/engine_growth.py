"""How the cost of an update grows: tokens a second, with what rows share and without, as a table and as a picture.

BENCH_MODEL=/folder BENCH_LAYERS=6 python -m benchmarks engine_growth [picture.svg]

Forward and backward over rows of tokens at random, the log-probabilities of the completions at the end; all weights
learn, in fp32. `plain` pads the rows and passes all of them. Each axis is varied alone, from 256 tokens of prompt, 64
of completion, 8 completions a prompt, 1 prompt. `long_completions`: how many times as fast pairs are whose completions
are far longer than their prompts.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks._chart import HEIGHT, WIDTH, chart
from benchmarks.prm_peer import starting_model

LAYERS = int(os.environ.get("BENCH_LAYERS", 6))
RUNS = int(os.environ.get("BENCH_RUNS", 3))
BASE = {"prompt": 256, "completion": 64, "group": 8, "batch": 1}
AXES = {
    "prompt": (16, 64, 256, 1024), "completion": (16, 64, 256, 1024), "group": (1, 2, 4, 8, 16), "batch": (1, 2, 4, 8)
}  # fmt: skip
SPREAD = 0.5  # a completion has between so much of its length and all of it
LONG = {"prompt": 16, "completion": 512, "group": 2, "batch": 2}
SHOWN = {"prompt": "tokens of a prompt", "completion": "tokens of a completion", "group": "completions of a prompt"}


def main() -> None:
    from training.recipes import machine

    machine.prepare(str(starting_model()), "cpu")
    arms = networks()
    found: dict[str, Any] = {axis: [measured(arms, **BASE | {axis: at}) for at in AXES[axis]] for axis in AXES}
    long = measured(arms, **LONG)
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(picture(found))
    tables = {axis: table(AXES[axis], ones) for axis, ones in found.items()}
    times = round(long["ours"][1] / long["plain"][1], 3)
    print(json.dumps({"benchmark": "engine_growth", "layers": LAYERS, **tables, "long_completions": times}))


def table(points: Sequence[int], ones: Sequence[dict[str, list[float]]]) -> dict[int, dict[str, int]]:
    return {at: {name: round(rates[1]) for name, rates in one.items()} for at, one in zip(points, ones, strict=True)}


def networks() -> dict[str, Any]:
    """The same model twice: as it comes, and sharing."""
    import torch
    from transformers import AutoModelForCausalLM

    from training.engine.sharing import share

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    options = {"dtype": torch.float32, "attn_implementation": "sdpa", "num_hidden_layers": LAYERS}
    plain, ours = (AutoModelForCausalLM.from_pretrained(starting_model(), **options) for _ in range(2))
    share(ours.model)
    return {"plain": plain, "ours": ours}


def measured(arms: dict[str, Any], prompt: int, completion: int, group: int, batch: int) -> dict[str, list[float]]:
    """Of each arm the lowest, the median and the highest rate, in tokens of rows a second of CPU; arms take turns."""
    import torch

    chance = torch.Generator().manual_seed(0)
    prompts, completions = [], []
    for _ in range(batch):
        words = torch.randint(100, 40_000, (prompt,), generator=chance).tolist()
        for _ in range(group):
            size = int(completion * (SPREAD + (1 - SPREAD) * float(torch.rand((), generator=chance))))
            prompts.append(words)
            completions.append(torch.randint(100, 40_000, (size,), generator=chance).tolist())
    tokens = sum(map(len, prompts)) + sum(map(len, completions))
    rates: dict[str, list[float]] = {name: [] for name in arms}
    for number in range(RUNS + 1):
        for name, network in arms.items():
            taken = update(network, prompts, completions)
            if number:  # the first one warms up
                rates[name].append(tokens / taken)
    return {name: [min(some), statistics.median(some), max(some)] for name, some in rates.items()}


def update(network: Any, prompts: Sequence[list[int]], completions: Sequence[list[int]]) -> float:
    from training.recipes.actor_critic import hidden_states, padded, read

    network.zero_grad(set_to_none=True)
    began = time.process_time()
    ids, attention, mask = padded(prompts, completions, "cpu")
    read(network, hidden_states(network, ids, attention), ids, mask, 1.0, quick=True)[0].sum().backward()
    return time.process_time() - began


def picture(found: dict[str, list[dict[str, list[float]]]]) -> str:
    """A chart for each axis, two by two."""
    parts = []
    for place, (axis, ones) in enumerate(found.items()):
        lines = {
            name: [(at, one[name][1], one[name][0], one[name][2]) for at, one in zip(AXES[axis], ones, strict=True)]
            for name in ("ours", "plain")
        }
        highest = max(high for line in lines.values() for *_, high in line) * 1.1
        whole = chart(f"By {axis}", SHOWN.get(axis, "prompts of a batch"), "tokens a second of CPU", lines, highest)
        where = f'x="{place % 2 * WIDTH}" y="{place // 2 * HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        parts.append(whole.replace("<svg ", f"<svg {where}", 1))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {2 * HEIGHT}">'
    return "\n".join([head, *parts, "</svg>\n"])


if __name__ == "__main__":
    main()
