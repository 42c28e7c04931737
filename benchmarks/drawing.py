"""Drawing completions in the engine against `generate`: a group of one prompt, and prompts whose answers end anywhere.

BENCH_MODEL=/folder BENCH_LAYERS=4 python -m benchmarks drawing    # goals: a group ≥ 2 ×, a batch ≥ 2.5 × its tokens/s

`generate` is given its best: all rows in one call, prompts padded on the left. Tokens are those up to a row's end; what
is computed after it does not count. Lengths are chance, so rates are of all runs together. `same`: whether greedy
tokens are. Seconds of CPU hold on a busy machine too. Memory is kept as in a training, for both.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.ppo_peer import make_models
from benchmarks.prm_peer import starting_model
from benchmarks.rollouts import until_end
from training.recipes import machine

RUNS = int(os.environ.get("BENCH_RUNS", 6))
ENDS = 40  # about a row in so many ends at each token
CASES = {  # prompts, completions of each, most tokens of one, tokens of the shortest and of the longest prompt
    "group": (1, 8, 48, 128, 128),
    "group_of_long_prompt": (1, 8, 48, 512, 512),
    "batch": (8, 8, 96, 32, 128),
}


def main() -> None:
    machine.without_thread_cache()
    machine.keep_freed_memory()
    import torch
    from transformers import AutoModelForCausalLM

    with tempfile.TemporaryDirectory() as name:
        make_models(starting_model(), Path(name))
        network = AutoModelForCausalLM.from_pretrained(Path(name) / "policy").eval()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    for precision in sys.argv[1:] or ("fp32",):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            told = {case: measure(network, *sizes) for case, sizes in CASES.items()}
        print(json.dumps({"benchmark": "drawing", "precision": precision, **told}), flush=True)


def measure(network: Any, count: int, n: int, longest: int, fewest: int, most: int) -> dict[str, Any]:
    import torch

    chance, words = torch.Generator().manual_seed(0), network.config.vocab_size
    sizes = torch.randint(fewest, most + 1, (count,), generator=chance).tolist()
    prompts = [torch.randint(words // 100, words, (size,), generator=chance).tolist() for size in sizes]
    ends = frozenset(range(0, words, ENDS))
    ids = torch.tensor([[0] * (max(sizes) - len(one)) + one for one in prompts for _ in range(n)])
    mask = torch.tensor([[0] * (max(sizes) - size) + [1] * size for size in sizes for _ in range(n)])

    def ours(temperature: float) -> list[list[int]]:
        from training.recipes.generate import draw

        found = draw(network, prompts, n, max_tokens=longest, temperature=temperature, eos=ends, generator=chance)
        return [one.tokens for group in found for one in group]

    def theirs(sample: bool) -> list[list[int]]:
        made = network.generate(
            ids, attention_mask=mask, do_sample=sample, top_k=0, max_new_tokens=longest, pad_token_id=0,
            eos_token_id=sorted(ends),
        )  # fmt: skip
        return [until_end(row, ends) for row in made[:, ids.shape[1] :].tolist()]

    one, other = ours(0.0), theirs(False)
    same = sum(a == b for a, b in zip(one, other, strict=True)) / len(one)
    found = [{"ours": speed(lambda: ours(1.0)), "generate": speed(lambda: theirs(True))} for _ in range(RUNS)]
    told: dict[str, Any] = {"rows": len(one), "same": round(same, 3)}
    for at, clock in enumerate(("seconds", "cpu"), start=1):
        rates = {who: sum(run[who][0] for run in found) / sum(run[who][at] for run in found) for who in found[0]}
        told |= {f"{who}_tokens_per_{clock}": round(rate, 1) for who, rate in rates.items()}
        told[f"times_{clock}"] = round(rates["ours"] / rates["generate"], 2)
    return told


def speed(work: Callable[[], list[list[int]]]) -> tuple[int, float, float]:
    """Tokens, seconds and seconds of CPU."""
    clock, used = time.perf_counter(), time.process_time()
    made = sum(map(len, work()))
    return made, time.perf_counter() - clock, time.process_time() - used


if __name__ == "__main__":
    main()
