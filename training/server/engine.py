"""The one thread that computes: it gives every model with work one turn after the other."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from training.recipes.steps import Window, by_window, collate, log_odds
from training.server.batching import Batch, Job, Row
from training.server.exchange import into
from training.server.protocol import ApiError
from training.server.rollouts import ROOM, RolloutJob, Rollouts

log = logging.getLogger("training.server")
TURN_TOKENS = 4096  # padded tokens of prompts, or of items to score, in one turn: streams never pause for long
ALIKE = 1.5  # lengths within this factor are padded together


@dataclass(eq=False)
class ScoreJob:
    """One scoring request: token ids, or a window of a trace, an item. `emit` is called once, with the scores (a
    number, or one for each step of the window) or an error."""

    items: Sequence[Any]
    emit: Callable[[list[Any] | Exception], None]
    cancelled: bool = False
    scores: dict[int, Any] = field(default_factory=dict)

    def keep(self, at: int, value: Any) -> None:
        self.scores[at] = value
        if len(self.scores) == len(self.items):
            self.emit([self.scores[i] for i in range(len(self.items))])


class Lane:
    """One model's work: what waits, and the batch that runs."""

    def __init__(self, model: Any, max_rows: int, room: int = ROOM):
        self.model, self.max_rows = model, max_rows
        self.batch = Batch(model)
        self.rollouts = Rollouts(model, room)
        self.credit = 0.0  # seconds that chats and scores had and rollouts did not
        self.waiting: deque[Row] = deque()
        self.scoring: deque[tuple[ScoreJob, int]] = deque()

    def running_jobs(self) -> int:
        return len({row.job for row in list(self.batch.rows)}) + len(self.rollouts.running_jobs())

    def busy(self) -> bool:
        return bool(self.prompt_work() or self.rollouts.busy())

    def prompt_work(self) -> bool:
        """Somebody waits for a chat or a score."""
        return bool(self.batch.rows or self.waiting or self.scoring)

    def submit(self, job: Job | ScoreJob | RolloutJob) -> None:
        if isinstance(job, Job):
            self.waiting.extend(job.rows(self.model))
        elif isinstance(job, RolloutJob):
            self.rollouts.submit(job)
        else:
            self.scoring.extend((job, at) for at in range(len(job.items)))

    def turn(self) -> None:
        """Serve chats and scores, then rollouts: where both want the model, each has half of the time."""
        began = time.monotonic()
        self.prompt_turn()
        middle = time.monotonic()
        self.credit = self.credit + middle - began if self.prompt_work() else 0.0
        if self.rollouts.busy() and self.credit >= 0:
            self.continue_traces()
            self.credit -= time.monotonic() - middle

    def continue_traces(self) -> None:
        try:
            self.rollouts.turn()
        except Exception as fault:
            log.exception("continuing traces with %s failed", self.model.name)
            fail(self.rollouts.clear(), fault)

    def prompt_turn(self) -> None:
        """Take in rows that wait, give every row a token, score some of what waits to be scored."""
        self.batch.leave()
        if newcomers := self.next_rows():
            self.decode(lambda: self.batch.join(newcomers), newcomers)
        if self.batch.rows:
            self.decode(self.batch.step, self.batch.rows)
        if group := self.next_items():
            self.score(group)

    def next_rows(self) -> list[Row]:
        """The first row that waits and those after it whose prompts pad well beside its own."""
        taken: list[Row] = []
        while self.waiting and len(self.batch.rows) + len(taken) < self.max_rows:
            row = self.waiting[0]
            if taken and not row.done and not fits([*taken, row]):
                break
            self.waiting.popleft()
            if not row.done:
                taken.append(row)
        return taken

    def decode(self, work: Callable[[], None], rows: Sequence[Row]) -> None:
        """A fault ends the rows it touched; prompts that fail before they joined touch nobody else."""
        try:
            work()
        except Exception as fault:
            log.exception("decoding with %s failed", self.model.name)
            if rows[0] in self.batch.rows:
                rows, self.batch = self.batch.rows, Batch(self.model)
            fail({row.job for row in rows}, fault)

    def next_items(self) -> list[tuple[ScoreJob, int]]:
        """The first item that waits and others, of any request, that are about as long."""
        group: list[tuple[ScoreJob, int]] = []
        rest: deque[tuple[ScoreJob, int]] = deque()
        while self.scoring:
            job, at = self.scoring.popleft()
            if job.cancelled:
                continue
            sizes = [len(job.items[at]), *(len(other.items[i]) for other, i in group)]
            alike = max(sizes) <= min(sizes) * (1 if self.model.pad is None else ALIKE)
            (group if alike and max(sizes) * len(sizes) <= TURN_TOKENS or not group else rest).append((job, at))
        self.scoring.extendleft(reversed(rest))
        return group

    def score(self, group: list[tuple[ScoreJob, int]]) -> None:
        try:
            forward = forward_scores if self.model.task == "score" else forward_steps
            values = forward(self.model, [job.items[at] for job, at in group])
            for (job, at), value in zip(group, values, strict=True):
                job.keep(at, value)
        except Exception as fault:
            log.exception("scoring with %s failed", self.model.name)
            fail({job for job, _ in group}, fault)


def fits(rows: Sequence[Row]) -> bool:
    lengths = [len(row.job.prompt) for row in rows]
    prompts = len({row.job for row in rows})
    return max(lengths) <= ALIKE * min(lengths) and max(lengths) * prompts <= TURN_TOKENS


def fail(jobs: set[Any], fault: Exception) -> None:
    for job in jobs:
        job.cancelled = True
        job.emit(describe(fault))


def describe(fault: Exception) -> ApiError:
    import torch

    if isinstance(fault, torch.OutOfMemoryError) or "not enough memory" in str(fault):
        message = "the device ran out of memory; ask for less at once (n, max_tokens), or again later"
        return ApiError(503, message, "out_of_memory", retry_after=5)
    return ApiError(500, f"the model failed: {type(fault).__name__}: {fault}", "model_failed")


def forward_steps(model: Any, parts: Sequence[Window]) -> list[list[float]]:
    """Probabilities at the ends of steps in a few windows of traces."""
    inputs = {name: value.to(model.device) for name, value in collate(parts, model.pad or 0).items()}
    return by_window(log_odds(model.network, **inputs).sigmoid().tolist(), parts)


def forward_scores(model: Any, items: Sequence[list[int]]) -> list[float]:
    """One score for each of a few token sequences, padded on the right as reward models are trained."""
    import torch

    width = max(map(len, items))
    ids = torch.tensor([item + [model.pad or 0] * (width - len(item)) for item in items], device=model.device)
    inputs = {"input_ids": ids, "use_cache": False}
    if width > min(map(len, items)):
        mask = [[1] * len(item) + [0] * (width - len(item)) for item in items]
        inputs["attention_mask"] = torch.tensor(mask, device=model.device)
    return model.network(**inputs).logits[:, 0].float().tolist()


class Engine:
    """Runs lanes in turn. One thread for all keeps models from fighting over the same cores."""

    def __init__(self) -> None:
        self.lanes: set[Lane] = set()
        self.turns = 0
        self.lock, self.wake, self.stopping = threading.Lock(), threading.Event(), False
        self.thread = threading.Thread(target=self.run, name="engine", daemon=True)

    def submit(self, lane: Lane, job: Job | ScoreJob | RolloutJob) -> None:
        with self.lock:
            lane.submit(job)
            self.lanes.add(lane)
            self.wake.set()

    async def scored(self, lane: Lane, items: Sequence[Any]) -> list[Any]:
        """Submit items to be scored and wait for their scores; leaving early cancels what is not done."""
        inbox: asyncio.Queue = asyncio.Queue()
        job = ScoreJob(items, into(inbox))
        self.submit(lane, job)
        try:
            scores = await inbox.get()
        finally:
            job.cancelled = True
        if isinstance(scores, Exception):
            raise scores
        return scores

    def busy_lanes(self) -> list[Lane]:
        with self.lock:
            self.lanes = {lane for lane in self.lanes if lane.busy()}
            if not self.lanes:
                self.wake.clear()
            return list(self.lanes)

    def run(self) -> None:
        import torch

        with torch.inference_mode():
            while not self.stopping:
                self.turn()
                self.wake.wait()

    def turn(self) -> None:
        for lane in self.busy_lanes():
            lane.turn()
            self.turns += 1

    def stop(self) -> None:
        self.stopping = True
        self.wake.set()
        if self.thread.is_alive():
            self.thread.join(timeout=30)
