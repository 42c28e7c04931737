"""Run directories with a planted preference: helpful completions were chosen, refusals rejected."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny import tiny_model
from training.recipes import recipe
from training.recipes.config import read

HELPFUL = ("Yes, happily.", "Sure, here it is.", "Of course, gladly.", "Certainly, let us begin.")
REFUSING = ("No.", "I will not.", "Never, go away.", "That is not my job.")
THINGS = ("cooking rice", "a poem", "the capital of France", "fixing a bike", "tea", "long division", "a letter")


def say(role, content):
    return [{"role": role, "content": content}]


def planted_pairs(count, seed=0):
    chance = random.Random(seed)
    for at in range(count):
        prompt = say("user", f"Please help me with {chance.choice(THINGS)}, number {seed * 10_000 + at}.")
        chosen, rejected = (say("assistant", chance.choice(texts)) for texts in (HELPFUL, REFUSING))
        yield {"prompt": prompt, "chosen": chosen, "rejected": rejected, "ranking": at, "prompt_id": at}


RIGHT_STEPS = ("Twice two is four.", "So it is four.", "Add one to get five.", "Hence the sum is five.")
WRONG_STEPS = ("Twice two is nine.", "So it is blue.", "Add one to get none.", "Hence the sum is tea.")


def planted_traces(count, seed=0, steps=4, **changed):
    """Traces of which half go wrong at a step and stay wrong; the words of a step tell."""
    chance = random.Random(seed)
    for at in range(count):
        prompt = say("user", f"Add up {chance.choice(THINGS)}, number {seed * 10_000 + at}.")
        first = chance.randrange(steps) if at % 2 else steps
        labels = [step < first for step in range(steps)]
        texts = [chance.choice(RIGHT_STEPS if label else WRONG_STEPS) for label in labels]
        yield {"prompt": prompt, "completions": texts, "labels": labels, "prompt_id": at} | changed


def outcomes(traces):
    """The same traces, labeled as wholes."""
    for trace in traces:
        row = {name: value for name, value in trace.items() if name != "labels"}
        yield row | {"label": all(trace["labels"])}


ROWS = {
    "stepwise": planted_traces,
    "outcome": lambda count, **options: outcomes(planted_traces(count, **options)),
}


def write_rows(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="session")
def base_model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def make_run(tmp_path, base_model):
    def make(name, train=None, held_out=None, model=base_model, **settings):
        run_dir = tmp_path / f"{name}-{len(list(tmp_path.iterdir()))}"
        planted = ROWS.get(recipe(name).DATA, planted_pairs)
        write_rows(run_dir / "dataset" / "train.jsonl", planted(48) if train is None else train)
        write_rows(run_dir / "dataset" / "eval.jsonl", planted(12, seed=1) if held_out is None else held_out)
        config = {"recipe": name, "base_model": str(model), "ref_model": None, "device": "cpu"}
        config |= {"settings": {"save_steps": 0, "precision": "fp32", **settings}, "versions": {}}
        (run_dir / "config.json").write_text(json.dumps(config))
        return run_dir

    return make


def train_here(run_dir):
    """Train in this process: the libraries are imported once for all tests."""
    said = json.loads((run_dir / "config.json").read_text())
    module = recipe(said["recipe"])
    module.train(read(module.Config, said["settings"]), run_dir)
    return result(run_dir)


def start(run_dir, *launcher):
    name = json.loads((run_dir / "config.json").read_text())["recipe"]
    log = (run_dir / "log.txt").open("a")
    command = [sys.executable, *launcher, "-m", f"training.recipes.{name}", str(run_dir)]
    return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)


def result(run_dir: Path):
    return json.loads((run_dir / "result.json").read_text())


def curve(run_dir, name):
    return [line["values"][name] for line in metrics(run_dir) if name in line["values"]]


def metrics(run_dir):
    path = run_dir / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def rollouts(run_dir):
    return [json.loads(line) for line in (run_dir / "rollouts.jsonl").read_text().splitlines()]
