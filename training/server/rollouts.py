"""Continue a trace from many of its prefixes: it is read once, its keys and values serve every prefix and all n rows.

Monte-Carlo labels ask for n completions from each step of a trace. The longest prefix of a trace is the *trunk*: run
through the model once. A shorter prefix takes the trunk's keys and values up to where its own tokens end (or differ, as
tokens at a cut may) and runs only what is left, mostly one token; n rows then share the result. Rows of all traces
decode together. Letting rows go or join costs a copy, so it is done when a quarter of the places is free.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from training.server.batching import Batch, pad_left
from training.server.keyvalues import fork, new_cache, regroup, select
from training.server.sampling import Sampling, TextStream, make_generator, pick_rows

if TYPE_CHECKING:
    from torch import Tensor

PREFILL_TOKENS = 1024  # padded tokens of traces read in one turn: whoever else waits for the model never waits long
TAIL = 8  # tokens a prefix may have beyond what it shares with a trunk; more, and it gets a trunk of its own
MOST_ROWS = 256  # decoded together: beyond this, more rows are hardly faster
ROOM = 1 << 30  # bytes of keys and values that rows may take together


@dataclass(eq=False)
class RolloutJob:
    """One request: the tokens of every prefix of every item. `emit` is called once, with Texts or an error."""

    items: list[list[list[int]]]
    sampling: Sampling
    n: int
    max_tokens: int
    stop: Sequence[str]
    emit: Callable[[Any], None]
    cancelled: bool = False
    completion_tokens: int = 0
    read_tokens: int = 0  # run through the model before the first new token
    left: int = 0
    texts: Any = field(init=False)
    reasons: Any = field(init=False)
    counts: Any = field(init=False)  # tokens made for each text

    def __post_init__(self) -> None:
        self.texts, self.reasons, self.counts = (
            [[[None] * self.n for _ in item] for item in self.items] for _ in range(3)
        )
        self.left = sum(map(len, self.items)) * self.rows_each

    @property
    def rows_each(self) -> int:
        """Rows that have to be decoded for a prefix: without chance, all n say the same."""
        return self.n if self.sampling.temperature else 1

    def seed(self, item: int, prefix: int) -> int | None:
        """Each prefix has a stream of chance of its own."""
        seed = self.sampling.seed
        return None if seed is None else random.Random(f"{seed} {item} {prefix}").getrandbits(62)

    def keep(self, row: Row, text: str, reason: str) -> None:
        branch = row.branch
        places = [row.index] if self.sampling.temperature else range(self.n)
        for place in places:
            self.texts[branch.item][branch.prefix][place] = text
            self.reasons[branch.item][branch.prefix][place] = reason
            self.counts[branch.item][branch.prefix][place] = len(row.tokens)
        self.left -= 1
        if not self.left:
            self.emit(self)


@dataclass(eq=False)
class Branch:
    """One prefix of a trace."""

    job: RolloutJob
    item: int
    prefix: int
    tokens: list[int]
    trunk: Any = None
    shared: int = 0  # of its tokens, from the first on, are the trunk's

    @property
    def tail(self) -> int:
        """Tokens it must run itself: at least the last, whose logits begin the completion."""
        return max(1, len(self.tokens) - self.shared)

    def rows(self, model: Any) -> Iterator[Row]:
        seed = self.job.seed(self.item, self.prefix)
        return (Row(self, index, seed, model) for index in range(self.job.rows_each))


@dataclass(eq=False)
class Trunk:
    """A trace as it is read once, and the prefixes that branch off it."""

    tokens: list[int]
    branches: list[Branch]
    cache: Any = None
    row: int = 0
    start: int = 0  # column of its first token
    due: int = 0  # rows that have yet to branch off

    @property
    def job(self) -> RolloutJob:
        return self.branches[0].job

    @property
    def reach(self) -> int:
        return len(self.tokens) + self.job.max_tokens

    def let_go(self) -> None:
        """One more row has branched off; after the last, nobody needs the keys and values."""
        self.due -= 1
        if not self.due:
            self.cache = None


class Row:
    """One completion in the making."""

    def __init__(self, branch: Branch, index: int, seed: int | None, model: Any):
        self.branch, self.job, self.index = branch, branch.job, index
        self.tokens: list[int] = []
        self.stream = TextStream(model.tokenizer, self.job.stop) if self.job.stop else None
        self.text = ""
        self.generator = make_generator(seed, index, model.device) if self.job.sampling.temperature else None
        self.finished = False

    @property
    def done(self) -> bool:
        return self.finished or self.job.cancelled

    @property
    def last(self) -> int:
        return self.tokens[-1]

    @property
    def length(self) -> int:
        """Tokens of this row that the cache holds: its prefix and all it made but the newest."""
        return len(self.branch.tokens) + len(self.tokens) - 1

    @property
    def reach(self) -> int:
        return len(self.branch.tokens) + self.job.max_tokens

    def feed(self, token: int, model: Any) -> None:
        self.tokens.append(token)
        self.job.completion_tokens += 1
        ended = token in model.eos
        if self.stream and not ended:
            self.text += self.stream.push(token)
        stopped = ended or bool(self.stream and self.stream.stopped)
        if stopped or len(self.tokens) >= self.job.max_tokens:
            self.finish(model, stopped)

    def finish(self, model: Any, stopped: bool) -> None:
        self.finished = True
        if self.stream:
            self.text += self.stream.finish()
            stopped = stopped or self.stream.stopped
        else:
            said = self.tokens[:-1] if self.last in model.eos else self.tokens
            self.text = TextStream(model.tokenizer).decode(said)
        self.job.keep(self, self.text, "stop" if stopped else "length")


def trunks_of(job: RolloutJob) -> Iterator[Trunk]:
    """The fewest traces to read so that every prefix of an item branches off one of them within TAIL tokens."""
    for item, prefixes in enumerate(job.items):
        left = [Branch(job, item, at, tokens) for at, tokens in enumerate(prefixes)]
        left.sort(key=lambda branch: -len(branch.tokens))
        while left:
            trunk = Trunk(left[0].tokens, [])
            for branch in left:
                shared = common(branch.tokens, trunk.tokens)
                if len(branch.tokens) - shared <= TAIL:
                    branch.trunk, branch.shared = trunk, shared
                    trunk.branches.append(branch)
            left = [branch for branch in left if branch.trunk is None]
            yield trunk


def common(a: Sequence[int], b: Sequence[int]) -> int:
    """How many items at the start are the same.

    >>> common([1, 2, 3], [1, 2, 4, 5])
    2
    """
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))


class Rollouts(Batch):
    """The rows of one model that continue traces, and the traces that wait to be read."""

    def __init__(self, model: Any, room: int = ROOM):
        super().__init__(model)
        self.columns = max(1, room // column_bytes(model.network))  # of keys and values, over all rows
        self.waiting: deque[Trunk] = deque()
        self.ready: deque[Row] = deque()  # of traces that were read
        self.reading: list[Trunk] = []

    def submit(self, job: RolloutJob) -> None:
        self.waiting.extend(sorted(trunks_of(job), key=lambda trunk: len(trunk.tokens)))

    def busy(self) -> bool:
        return bool(self.rows or self.ready or self.waiting)

    def running_jobs(self) -> set[RolloutJob]:
        return {row.job for row in [*self.rows, *self.ready]} | {trunk.job for trunk in self.reading}

    def turn(self) -> None:
        """One forward pass: read some traces, or let rows branch off them, or give every row a token."""
        places = self.places()
        if self.waiting and places > len(self.ready):
            self.read()
        elif self.ready and places:
            self.join(self.next_rows(places))
        elif self.rows:
            self.step()

    def places(self) -> int:
        """Rows that may join now; none while too few places are free for the copy that joining costs."""
        going = [row.reach for row in self.rows if not row.done]
        coming = [row.reach for row in [*self.ready][:1]] + [trunk.reach for trunk in [*self.waiting][:1]]
        most = min(MOST_ROWS, max(1, self.columns // max([1, *going, *coming])))
        free = most - len(going)
        return free if free >= most / 4 or not going else 0

    def next_rows(self, places: int) -> list[Row]:
        taken: list[Row] = []
        going = [row.reach for row in self.rows if not row.done]
        while self.ready and len(taken) < places:
            row = self.ready[0]
            longest = max([row.reach, *going, *(other.reach for other in taken)])
            if taken and longest * (len(going) + len(taken) + 1) > self.columns:
                break
            self.ready.popleft()
            if not row.done:
                taken.append(row)
        return taken

    def read(self) -> None:
        """Run the next traces through the model, as many as fit into one turn."""
        self.reading = []
        while self.waiting:
            trunk = self.waiting[0]
            size = max([len(trunk.tokens), *(len(other.tokens) for other in self.reading)])
            if self.reading and size * (len(self.reading) + 1) > PREFILL_TOKENS:
                break
            self.waiting.popleft()
            if not trunk.job.cancelled:
                self.reading.append(trunk)
        if self.reading:
            self.prefill(self.reading)
        self.reading = []

    def prefill(self, group: list[Trunk]) -> None:
        ids, mask = pad_left([trunk.tokens for trunk in group], self.model.device)
        cache = new_cache()
        self.forward(ids, mask, (mask.cumsum(-1) - 1).clamp(min=0), cache)
        for at, trunk in enumerate(group):
            trunk.cache, trunk.row, trunk.start = cache, at, ids.shape[1] - len(trunk.tokens)
            trunk.job.read_tokens += len(trunk.tokens)
            rows = [row for branch in trunk.branches for row in branch.rows(self.model)]
            trunk.due = len(rows)
            self.ready.extend(rows)

    def join(self, rows: Sequence[Row]) -> None:
        """Branch off the traces, run what each prefix has of its own, and draw the first tokens."""
        import torch

        if not rows:
            return
        device = self.model.device
        branches = list(dict.fromkeys(row.branch for row in rows))
        fresh, mask, logits = self.branch_off(branches)
        places = {branch: at for at, branch in enumerate(branches)}
        chosen = torch.tensor([places[row.branch] for row in rows], device=device)
        staying = [at for at, row in enumerate(self.rows) if not row.done]
        kept = torch.tensor(staying, dtype=torch.long, device=device)
        left = self.spare_columns(staying)
        old = self.cache if staying else None
        masks = [mask[chosen]] if old is None else [self.mask[kept, left:], mask[chosen]]
        width = max(part.shape[1] for part in masks)
        self.mask = torch.cat([torch.nn.functional.pad(part, (width - part.shape[1], 0)) for part in masks])
        self.cache = regroup(old, kept, left, fresh, chosen)
        self.rows = [*(self.rows[at] for at in staying), *rows]
        for row in rows:
            row.branch.trunk.let_go()
        self.draw(rows, logits[chosen])

    def branch_off(self, branches: Sequence[Branch]) -> tuple[Any, Tensor, Tensor]:
        """Keys and values, mask and last logits of each prefix. All run equally many tokens, so that none has gaps."""
        import torch

        width = max(branch.tail for branch in branches)
        lengths = [max(0, len(branch.tokens) - width) for branch in branches]
        pieces = [
            (branch.trunk.cache, branch.trunk.row, branch.trunk.start, branch.trunk.start + length)
            for branch, length in zip(branches, lengths, strict=True)
        ]
        ids, own = pad_left(
            [branch.tokens[length:] for branch, length in zip(branches, lengths, strict=True)], self.model.device
        )
        before = torch.tensor(lengths, device=self.model.device)
        columns = torch.arange(max(lengths), device=self.model.device)
        mask = torch.cat([(columns >= max(lengths) - before[:, None]).long(), own], dim=1)
        positions = (before[:, None] + own.cumsum(-1) - 1).clamp(min=0)
        fresh = fork(pieces)
        return fresh, mask, self.forward(ids, mask, positions, fresh)

    def feed(self, rows: Sequence[Row], logits: Tensor) -> None:
        going = [at for at, row in enumerate(rows) if not row.done]
        if going:
            self.draw([rows[at] for at in going], logits[going])
        self.leave()

    def draw(self, rows: Sequence[Row], logits: Tensor) -> None:
        for sampling in {row.job.sampling for row in rows}:
            group = [at for at, row in enumerate(rows) if row.job.sampling == sampling]
            tokens = pick_rows(logits[group], sampling, [rows[at].generator for at in group]).tolist()
            for at, token in zip(group, tokens, strict=True):
                rows[at].feed(token, self.model)

    def leave(self) -> None:
        """Let go of rows that are done once they are a quarter, and of columns that only they needed."""
        import torch

        staying = [at for at, row in enumerate(self.rows) if not row.done]
        if not staying:
            self.rows, self.cache, self.mask = [], None, None
        elif len(staying) <= 0.75 * len(self.rows) and not (self.ready or self.waiting):
            index, left = torch.tensor(staying, device=self.model.device), self.spare_columns(staying)
            self.cache, self.mask = select(self.cache, index, left), self.mask[index, left:]
            self.rows = [self.rows[at] for at in staying]

    def spare_columns(self, staying: Sequence[int]) -> int:
        """Columns at the left that none of these rows uses: a row's own tokens end at the last column."""
        return self.mask.shape[1] - max(self.rows[at].length for at in staying) if staying else 0

    def clear(self) -> set[RolloutJob]:
        """Forget the rows under way after a fault; returns the jobs that lost some."""
        lost = self.running_jobs()
        self.rows, self.cache, self.mask = [], None, None
        self.ready.clear()
        self.reading = []
        self.waiting = deque(trunk for trunk in self.waiting if trunk.job not in lost)
        return lost


def column_bytes(network: Any) -> int:
    """Bytes one token's keys and values take."""
    config = network.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * config.num_hidden_layers * heads * size * network.dtype.itemsize


def run(model: Any, jobs: Sequence[RolloutJob], room: int = ROOM) -> None:
    """Do jobs here and now, all in one batch, without a server; afterwards their texts are in them."""
    import torch

    rollouts = Rollouts(model, room)
    for job in jobs:
        rollouts.submit(job)
    with torch.inference_mode():
        while rollouts.busy():
            rollouts.turn()
