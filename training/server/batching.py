"""Rows that decode together: left-padded prefill, one token a row a step, rows that join and leave between steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from training.server.keyvalues import merge, new_cache, select
from training.server.sampling import Sampling, TextStream, make_generator, pick

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class Piece:
    """What one row has to say after a step. The last piece of a row carries its finish_reason, and the stop string
    that ended it, if one did."""

    index: int
    text: str
    finish_reason: str | None = None
    logprobs: list[dict] = field(default_factory=list)
    stop_reason: str | None = None


@dataclass(eq=False)
class Job:
    """One chat request: a prompt that n rows continue. `emit` is called from the engine's thread."""

    prompt: list[int]
    sampling: Sampling
    n: int
    max_tokens: int
    stop: Sequence[str]
    top_logprobs: int | None
    ignore_eos: bool
    emit: Callable[[Piece | Exception], None]
    cancelled: bool = False
    completion_tokens: int = 0

    def rows(self, model: Any) -> list[Row]:
        return [Row(self, index, model) for index in range(self.n)]


class Row:
    """One completion in the making."""

    def __init__(self, job: Job, index: int, model: Any):
        self.job, self.index = job, index
        self.eos = frozenset() if job.ignore_eos else model.eos
        self.text = TextStream(model.tokenizer, job.stop)
        self.generator = make_generator(job.sampling.seed, index, model.device)
        self.last, self.count, self.finished = -1, 0, False

    @property
    def done(self) -> bool:
        return self.finished or self.job.cancelled

    @property
    def length(self) -> int:
        """Tokens of this row that the cache holds: its prompt and all it made but the newest."""
        return len(self.job.prompt) + self.count - 1

    def feed(self, token: int, logprobs: list[dict]) -> None:
        self.last, self.count = token, self.count + 1
        self.job.completion_tokens += 1
        text = "" if token in self.eos else self.text.push(token)
        reason = "stop" if token in self.eos or self.text.stopped else None
        if reason is None and self.count >= self.job.max_tokens:
            reason = "length"
        if reason:
            self.finished, text = True, text + self.text.finish()
            reason = "stop" if self.text.stopped else reason
        if text or reason or logprobs:
            self.job.emit(Piece(self.index, text, reason, logprobs, self.text.stopped_by))


class Batch:
    """The rows of one model that are being decoded, and their keys and values: [rows, heads, columns, size]."""

    def __init__(self, model: Any):
        self.model, self.rows = model, []
        self.cache: Any = None
        self.mask: Tensor | None = None  # [rows, columns]; 0 left of a row's own tokens

    def join(self, rows: Sequence[Row]) -> None:
        """Run the prompts of new rows (each once, however many rows continue it) and draw their first tokens."""
        import torch

        jobs = list(dict.fromkeys(row.job for row in rows))
        ids, mask = pad_left([job.prompt for job in jobs], self.model.device)
        fresh = new_cache()
        logits = self.forward(ids, mask, (mask.cumsum(-1) - 1).clamp(min=0), fresh)
        if len(rows) > len(jobs):
            index = torch.tensor([jobs.index(row.job) for row in rows], device=self.model.device)
            fresh, mask, logits = select(fresh, index), mask[index], logits[index]
        alone, self.rows = not self.rows, [*self.rows, *rows]
        self.cache, self.mask = (fresh, mask) if alone else merge(self.cache, self.mask, fresh, mask)
        self.feed(rows, logits)

    def step(self) -> None:
        """Give every row its next token."""
        import torch

        device = self.model.device
        ids = torch.tensor([[row.last] for row in self.rows], device=device)
        positions = torch.tensor([[row.length] for row in self.rows], device=device)
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.rows), 1)], dim=1)
        self.feed(self.rows, self.forward(ids, self.mask, positions, self.cache))

    def forward(self, ids: Tensor, mask: Tensor, positions: Tensor, cache: Any) -> Tensor:
        """Logits of the last column, [rows, vocabulary] in float32."""
        inputs = {"input_ids": ids, "position_ids": positions, "past_key_values": cache, "use_cache": True}
        if not bool(mask.all()):  # without padding no mask is needed, and none is faster
            inputs["attention_mask"] = mask
        if self.model.keeps_logits:
            inputs["logits_to_keep"] = 1
        out = self.model.network(**inputs)
        return out.logits[:, -1].float()

    def feed(self, rows: Sequence[Row], logits: Tensor) -> None:
        import torch

        drawn = [pick(line, row.job.sampling, row.generator) for row, line in zip(rows, logits, strict=True)]
        for row, line, token in zip(rows, logits, torch.stack(drawn).tolist(), strict=True):
            row.feed(token, token_logprobs(self.model.tokenizer, line, token, row.job.top_logprobs))
        self.leave()

    def leave(self) -> None:
        """Let go of rows that are done, and of columns that only they needed."""
        import torch

        keep = [at for at, row in enumerate(self.rows) if not row.done]
        if len(keep) == len(self.rows):
            return
        self.rows = [self.rows[at] for at in keep]
        if not keep:
            self.cache = self.mask = None
            return
        # A row's own tokens end at the last column, so the longest row tells how many columns are needed.
        left = self.mask.shape[1] - max(row.length for row in self.rows)
        index = torch.tensor(keep, device=self.model.device)
        self.cache, self.mask = select(self.cache, index, left), self.mask[index, left:]


def pad_left(prompts: Sequence[list[int]], device: Any) -> tuple[Tensor, Tensor]:
    import torch

    width = max(map(len, prompts))
    ids = [[0] * (width - len(prompt)) + prompt for prompt in prompts]
    mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def token_logprobs(tokenizer: Any, logits: Tensor, token: int, top: int | None) -> list[dict]:
    """The token's log-probability under the model itself (before temperature and cuts), in OpenAI's shape."""
    if top is None:
        return []
    table = logits.log_softmax(-1)
    values, ids = table.topk(top)
    entry = describe_token(tokenizer, token, table[token].item())
    best = [describe_token(tokenizer, i, v) for i, v in zip(ids.tolist(), values.tolist(), strict=True)]
    return [entry | {"top_logprobs": best}]


def describe_token(tokenizer: Any, token: int, logprob: float) -> dict:
    text = tokenizer.decode([token])
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}
