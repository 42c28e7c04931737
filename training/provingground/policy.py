"""The proving ground's models at hand, without a server: a policy that solves, a scorer that judges steps.

They are the model server's own engines in this process. `Policy.moves` and `Scorer.of` make them what `training.search`
asks for, of one problem.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from training.montecarlo import Count, Found, bisect, drive, sweep, together
from training.provingground.problems import SEPARATOR, Problem
from training.provingground.truth import ANSWER, judge, split
from training.search_draw import Ask, Move, Scored

LONGEST = 160  # tokens of a solution: more than any needs
TOKENS = 16384  # of traces scored in one forward pass
Trace = tuple[Problem, Sequence[str]]


def load_model(folder: Path) -> Any:
    from training.server.folders import Options
    from training.server.loading import load

    return load(folder.name, folder, Options(models=folder.parent))


def begun(steps: Sequence[str]) -> str:
    """The text of a solution so far, ready to go on."""
    return "".join(step + SEPARATOR for step in steps)


class Policy:
    """A policy's folder in memory. `tokens` counts what it has written."""

    def __init__(self, folder: Path, temperature: float = 1.0):
        self.model, self.temperature, self.tokens = load_model(folder), temperature, 0

    def solve(self, problems: Sequence[Problem], n: int = 1, seed: int = 0) -> list[list[list[str]]]:
        """n solutions of every problem, as steps."""
        texts = self.continue_from([(problem, [[]]) for problem in problems], n, seed)
        return [[split(text) for text in of_problem[0]] for of_problem in texts]

    def continue_from(
        self, items: Sequence[tuple[Problem, Sequence[Sequence[str]]]], n: int, seed: int = 0
    ) -> list[list[list[str]]]:
        """n texts for every beginning (steps) of every problem: texts[item][beginning]."""
        encoded = [self.encode(problem, beginnings) for problem, beginnings in items]
        job = self.job(encoded, n, seed)
        self.run([job])
        return job.texts

    def encode(self, problem: Problem, beginnings: Iterable[Sequence[str]]) -> list[list[int]]:
        return self.model.encode_begun(
            problem.messages, [begun(steps) for steps in beginnings], add_generation_prompt=True
        )

    def job(self, encoded: list, n: int, seed: int, most: int = LONGEST, stop: Sequence[str] = (), greedy=False) -> Any:
        from training.server.rollouts import RolloutJob
        from training.server.sampling import Sampling

        sampling = Sampling(temperature=0.0 if greedy else self.temperature, seed=seed)
        return RolloutJob(encoded, sampling, n, most, stop, emit=lambda done: None)

    def run(self, jobs: Sequence[Any]) -> None:
        from training.server.rollouts import run

        run(self.model, jobs)
        self.tokens += sum(job.completion_tokens for job in jobs)

    def counts(self, wanted: Sequence[tuple[Problem, Sequence[str], Sequence[int]]], n: int, seed: int) -> list[dict]:
        """For (problem, steps, prefixes): how many of n completions of each prefix reach the answer.

        The whole solution is no prefix to complete: its own answer is the count.
        """
        open_ended = [[at for at in prefixes if at < len(steps)] for _, steps, prefixes in wanted]
        items = [(p, [steps[:at] for at in ends]) for (p, steps, _), ends in zip(wanted, open_ended, strict=True)]
        asked = [at for at, (_, beginnings) in enumerate(items) if beginnings]
        texts = dict(zip(asked, self.continue_from([items[at] for at in asked], n, seed) if asked else [], strict=True))
        found = []
        for at, (problem, steps, prefixes) in enumerate(wanted):
            counts = {len(steps): Count(int(judge(problem, steps).solved), 1)} if len(steps) in prefixes else {}
            for end, completions in zip(open_ended[at], texts.get(at, []), strict=True):
                right = [judge(problem, [*steps[:end], *split(text)]).solved for text in completions]
                counts[end] = Count(sum(right), n)
            found.append(counts)
        return found

    def label(self, traces: Sequence[Trace], n: int, seed: int = 0, walk: Callable = sweep) -> list[dict | Found]:
        """Monte-Carlo labels of many traces at once: counts by a full sweep, or what `bisect` found."""

        def answer(wanted: dict[int, list[int]]) -> dict[int, dict]:
            asked = [(*traces[at], prefixes) for at, prefixes in wanted.items()]
            rounds.append(len(asked))
            return dict(zip(wanted, self.counts(asked, n, seed + len(rounds)), strict=True))

        rounds: list[int] = []
        found = drive(together({at: walk(len(steps)) for at, (_, steps) in enumerate(traces)}), answer)
        return [found[at] for at in range(len(traces))]

    def find_errors(self, traces: Sequence[Trace], n: int, seed: int = 0) -> list[Found]:
        return self.label(traces, n, seed, walk=bisect)

    def moves(self, problem: Problem) -> Callable[[Sequence[Ask]], list[list[Move]]]:
        """The policy as `training.search` wants it, on one problem."""

        def policy(asks: Sequence[Ask]) -> list[list[Move]]:
            jobs = [
                self.job([self.encode(problem, [ask.steps])], ask.count, ask.seed, ask.max_tokens, stop, ask.greedy)
                for ask in asks
                for stop in [() if ask.whole else (SEPARATOR,)]
            ]
            self.run(jobs)
            return [moves_of(job) for job in jobs]

        return policy


def moves_of(job: Any) -> list[Move]:
    texts, reasons, counts = job.texts[0][0], job.reasons[0][0], job.counts[0][0]
    return [
        Move(split(text), tokens, "cut" if reason == "length" else "finished" if finished(text) else "step")
        for text, reason, tokens in zip(texts, reasons, counts, strict=True)
    ]


def finished(text: str) -> bool:
    steps = split(text)
    return not steps or ANSWER.fullmatch(steps[-1]) is not None


class Scorer:
    """A process or outcome reward model's folder in memory."""

    def __init__(self, folder: Path):
        self.model = load_model(folder)

    def scores(self, traces: Sequence[Trace]) -> list[list[float | None]]:
        """A probability for every step of every trace; an outcome reward model judges the last one only."""
        import torch

        from training.recipes.steps import length_batches
        from training.server.engine import forward_steps
        from training.server.step_scores import prepare_traces

        read = prepare_traces(self.model, [(problem.messages, list(steps)) for problem, steps in traces])
        values: list[Any] = [None] * len(read.windows)
        with torch.inference_mode():
            for batch in length_batches([len(window) for window in read.windows], TOKENS):
                for at, found in zip(batch, forward_steps(self.model, [read.windows[at] for at in batch]), strict=True):
                    values[at] = found
        return read.scores(values)

    def of(self, problem: Problem) -> Callable[[Sequence[Sequence[str]]], list[Scored]]:
        """The scorer as `training.search` wants it, on one problem."""
        return lambda traces: [Scored(found) for found in self.scores([(problem, trace) for trace in traces])]
