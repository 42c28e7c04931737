"""Judge HumanEval's canonical solutions in the sandbox: cases a second; beside the same tests run bare, without one."""

import gzip
import json
import os
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(os.environ.get("STUDIO_SHARED_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
FILE = FOLDER / "human-eval" / "HumanEval.jsonl.gz"


def main() -> None:
    from training.recipes.machine import cores
    from training.sandbox import judge_all, why_not

    assert not why_not(), why_not()
    rows = list(map(json.loads, gzip.decompress(FILE.read_bytes()).splitlines()))
    names = {"completion": "canonical_solution", "tests": "test", "entry_point": "entry_point", "setup": "prompt"}
    work = [{name: row[column] for name, column in names.items()} for row in rows]
    pairs = [{"completion": "def add(a, b): return a + b", "tests": CALLS, "entry_point": "add"}] * len(rows)
    figures = {"benchmark": "sandbox", "cores": cores(), "cases": len(rows), "load": os.getloadavg()[0]}
    for name, cases in (("asserts", work), ("calls", pairs)):
        begun = time.monotonic()
        verdicts = judge_all(cases)
        seconds = time.monotonic() - begun
        figures[f"{name}_right"] = sum(verdict.passed is True for verdict in verdicts)
        figures[f"{name}_per_second"] = round(len(cases) / seconds, 1)
    figures["bare_per_second"] = round(bare(rows[:40]), 1)
    print(json.dumps(figures))


CALLS = [{"args": [n, n], "expected": 2 * n} for n in range(20)]


def bare(rows: list[dict]) -> float:
    """The naive way: the program and its tests in one fresh interpreter, believed when it exits with 0."""
    begun = time.monotonic()
    for row in rows:
        program = f"{row['prompt']}{row['canonical_solution']}\n{row['test']}\ncheck({row['entry_point']})"
        subprocess.run([sys.executable, "-S", "-c", program], check=True, capture_output=True)
    return len(rows) / (time.monotonic() - begun)
