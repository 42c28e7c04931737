"""Build a proving ground in a folder, step by step, each kept: a policy, traces with their truth, a PRM and an ORM."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from training.provingground.blank import make_blank
from training.provingground.policy import Policy, Scorer
from training.provingground.problems import SEPARATOR, Problem, demonstrate, draw_problems
from training.provingground.runs import Say, read_rows, train, write_rows
from training.provingground.truth import Truth, judge

Settings = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """How much is trained and sampled."""

    demonstrations: int
    problems: int  # whose traces the reward models learn from
    samples: int  # traces of each
    held_out: int  # problems, with as many traces each
    shortest: int = 3
    longest: int = 7  # operations of a problem
    shape: Settings = field(default_factory=dict)  # of the policy: LlamaConfig fields
    policy: Settings = field(default_factory=dict)  # settings of the sft recipe, and so on
    reward: Settings = field(default_factory=dict)  # the same for prm and orm: what they learn from is all that differs


LEARN = {"lora": False, "precision": "fp32", "max_length": 256, "save_steps": 0, "logging_steps": 25}
LEARN |= {"eval_on_start": False, "warmup_ratio": 0.05, "per_device_train_batch_size": 16}
BRIEF = {"num_train_epochs": 2}
SIZES = {
    "minute": Size(demonstrations=11_200, problems=1_500, samples=2, held_out=60, shortest=2, longest=4, reward=BRIEF),
    "full": Size(demonstrations=12_800, problems=3_000, samples=2, held_out=200),
}


@dataclass(frozen=True)
class Trace:
    """A solution the policy wrote, and the truth about it."""

    problem: Problem
    steps: list[str]

    @cached_property
    def truth(self) -> Truth:
        return judge(self.problem, self.steps)

    def as_row(self) -> dict[str, Any]:
        """Readable by any step tool: labels are the truth's."""
        known = {"prompt": self.problem.messages, "completions": self.steps, "labels": self.truth.labels}
        told = {"kinds": self.truth.kinds, "first_error": self.truth.first_error, "solved": self.truth.solved}
        return known | told | {"start": self.problem.start, "operations": self.problem.operations}


class Ground:
    """A folder with everything in it; what is asked for and not there yet is made."""

    def __init__(self, folder: Path | str, size: str = "full", say: Say = print):
        self.folder, self.size, self.say = Path(folder), SIZES[size], say
        self.folder.mkdir(parents=True, exist_ok=True)

    @cached_property
    def policy_folder(self) -> Path:
        """A transformer that learned from demonstrations, from nothing, by the `sft` recipe."""
        blank = self.folder / "blank"
        if not (blank / "config.json").exists():
            make_blank(blank, **self.size.shape)
        shown = demonstrations("policy", self.size.shortest, self.size.longest)
        held_out = list(islice(shown, 64))
        settings = LEARN | {"learning_rate": 3e-3} | self.size.policy
        rows = islice(shown, self.size.demonstrations)
        return train("sft", self.folder / "policy", blank, rows, held_out, self.said("policy"), **settings)

    @cached_property
    def policy(self) -> Policy:
        return Policy(self.policy_folder)

    @cached_property
    def traces(self) -> list[Trace]:
        """What reward models learn from."""
        return self.sampled("traces", self.size.problems)

    @cached_property
    def held_out(self) -> list[Trace]:
        """Traces of problems no model has seen."""
        return self.sampled("held-out", self.size.held_out)

    @cached_property
    def prm_folder(self) -> Path:
        """Learned from the truth of every step up to the first error, which is where PRM800K's labels end."""
        rows = ({"prompt": t.problem.messages, "completions": t.steps, "labels": t.truth.labels} for t in self.traces)
        return self.reward_model("prm", rows, steps_after_first_error=False)

    @cached_property
    def orm_folder(self) -> Path:
        """Learned from whether the same traces reach the answer."""
        rows = ({"prompt": t.problem.messages, "completions": t.steps, "label": t.truth.solved} for t in self.traces)
        return self.reward_model("orm", rows)

    @cached_property
    def prm(self) -> Scorer:
        return Scorer(self.prm_folder)

    @cached_property
    def orm(self) -> Scorer:
        return Scorer(self.orm_folder)

    def problems(self, count: int, seed: str = "test") -> list[Problem]:
        """Problems by a seed of their own: `policy`, `traces` and `held-out` are taken."""
        return list(islice(draw_problems(seed, self.size.shortest, self.size.longest), count))

    def sampled(self, name: str, problems: int) -> list[Trace]:
        path = self.folder / f"{name}.jsonl"
        if not path.exists():
            self.say(f"{name}: sampling {problems} × {self.size.samples} solutions")
            asked = self.problems(problems, seed=name)
            solutions = self.policy.solve(asked, self.size.samples, seed=1)
            made = (Trace(p, steps) for p, several in zip(asked, solutions, strict=True) for steps in several if steps)
            write_rows(path, (trace.as_row() for trace in made))
        rows = read_rows(path)
        return [Trace(Problem(r["start"], tuple(map(tuple, r["operations"]))), r["completions"]) for r in rows]

    def reward_model(self, recipe: str, rows: Iterator[dict], **own: Any) -> Path:
        rows = list(rows)
        settings = (
            LEARN | {"learning_rate": 5e-4, "step_separator": r"\n", "num_train_epochs": 6} | self.size.reward | own
        )
        held_out = rows[: len(rows) // 20]
        kept = rows[len(held_out) :]
        return train(recipe, self.folder / recipe, self.policy_folder, kept, held_out, self.said(recipe), **settings)

    def said(self, what: str) -> Say:
        return lambda line: self.say(f"{what}: {line}")


def demonstrations(seed: str, shortest: int, longest: int) -> Iterator[dict]:
    """Rows for `sft` without end: what the teacher who slips would write."""
    chance = random.Random(seed)
    for problem in draw_problems(seed, shortest, longest):
        solution = SEPARATOR.join(demonstrate(problem, chance))
        yield {"prompt": problem.messages, "completion": [{"role": "assistant", "content": solution}]}


def build(folder: Path | str, size: str = "full", say: Say = print) -> Ground:
    """Make all of it, or what is missing of it."""
    ground = Ground(folder, size, say)
    for part in ("policy_folder", "traces", "held_out", "prm_folder", "orm_folder"):
        getattr(ground, part)
    return ground
