"""From a trace to tokens and from tokens to a number a step: what training and the model server share, so they agree.

A step's number is read where the step ends. A trace longer than max_length is read in overlapping windows, each with
the prompt and the steps before it that fit. What a step is given depends on nothing that follows it, so a trace that
grows keeps its scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SEPARATOR = "\n\n"
Prompt = str | list[dict[str, Any]]


class TooLong(ValueError):
    """A prompt that leaves no room for a step."""


@dataclass(frozen=True)
class Window:
    """What passes through the model at once: token ids, where steps end in it, and which steps of the trace they are.

    `cut` says that a step alone was longer than the room beside the prompt, so that its beginning is missing.
    """

    ids: list[int]
    ends: list[int]
    steps: list[int]
    cut: bool = False

    def __len__(self) -> int:
        return len(self.ids)


def as_messages(prompt: Prompt) -> list[dict[str, Any]]:
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt


def prompt_tokens(chat: Any, prompt: Prompt) -> list[int]:
    return chat.tokens(as_messages(prompt), add_generation_prompt=True)


def step_tokens(chat: Any, prompt: Prompt, steps: Sequence[str], separator: str) -> tuple[list[int], list[int]]:
    """Ids of the prompt through the chat template and of every step followed by the separator; and `ends`, the index of
    the last token of each step's separator.

    Steps are encoded one by one, as TRL did: a separator inside a step is text like any other, and what follows a step
    never changes its tokens. Raises ValueError where the tokenizer makes no token of the separator.
    """
    ids, ends, after = list(prompt_tokens(chat, prompt)), [], chat.encode(separator)
    if not after:
        raise ValueError(f"the tokenizer makes no token of the step separator {separator!r}; choose another one")
    for step in steps:
        ids += chat.encode(step) + after
        ends.append(len(ids) - 1)
    return ids, ends


def windows(ids: list[int], ends: list[int], prompt: int, max_length: int) -> list[Window]:
    """The whole trace, or parts of at most max_length tokens that score each step once, with `prompt` tokens before.

    Steps before a window's first one are repeated as context: as many as fit into half of the room beside the prompt.

    >>> parts = windows(list(range(14)), [5, 7, 9, 11, 13], prompt=4, max_length=8)
    >>> [(part.ids, part.ends, part.steps) for part in parts[1:3]]
    [([0, 1, 2, 3, 6, 7, 8, 9], [7], [2]), ([0, 1, 2, 3, 8, 9, 10, 11], [7], [3])]

    Raises TooLong where the prompt alone fills max_length.
    """
    room, begins = max_length - prompt, [prompt, *(end + 1 for end in ends[:-1])]
    if room < 1:
        raise TooLong(f"the prompt has {prompt} tokens, and max_length is {max_length}")
    found, first = [], 0
    while first < len(ends):
        left = context_of(first, begins, ends, room)
        last = first
        while last + 1 < len(ends) and ends[last + 1] + 1 - begins[left] <= room:
            last += 1
        begin = max(begins[left], ends[last] + 1 - room)
        places = [end - begin + prompt for end in ends[first : last + 1]]
        part = ids[:prompt] + ids[begin : ends[last] + 1]
        found.append(Window(part, places, list(range(first, last + 1)), cut=begin > begins[left]))
        first = last + 1
    return found


def context_of(first: int, begins: list[int], ends: list[int], room: int) -> int:
    """The step a window begins with whose first new step is `first`."""
    left = first
    while left and begins[first] - begins[left - 1] <= room // 2:
        left -= 1
    while left < first and ends[first] + 1 - begins[left] > room:
        left += 1
    return left


def trace_windows(
    chat: Any, prompt: Prompt, steps: Sequence[str], separator: str, max_length: int, last_only: bool = False
) -> list[Window]:
    """The windows of a trace; with `last_only`, of its last step alone (an outcome reward model reads nothing else)."""
    ids, ends = step_tokens(chat, prompt, steps, separator)
    found = windows(ids, ends, len(prompt_tokens(chat, prompt)), max_length)
    if last_only and found:
        last = found[-1]
        return [Window(last.ids, last.ends[-1:], last.steps[-1:], last.cut)]
    return found


def collate(parts: Sequence[Window], pad: int) -> dict[str, Any]:
    """Windows padded on the right, [windows, tokens], and the row and column of every end in them, [ends]."""
    import torch

    width = max(map(len, parts))
    ids = torch.tensor([part.ids + [pad] * (width - len(part)) for part in parts])
    mask = torch.tensor([[1] * len(part) + [0] * (width - len(part)) for part in parts])
    rows = torch.tensor([row for row, part in enumerate(parts) for _ in part.ends])
    columns = torch.tensor([end for part in parts for end in part.ends])
    return {"input_ids": ids, "attention_mask": mask, "rows": rows, "columns": columns}


def log_odds(network: Any, input_ids: Any, attention_mask: Any, rows: Any, columns: Any) -> Any:
    """log P(good) − log P(bad) at every end, [ends] in float32: of two labels the difference of their logits, of one
    logit itself. The head sees the ends only, and computes in float32 whatever the layers below do."""
    import torch

    hidden = network.base_model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).last_hidden_state
    with torch.autocast(hidden.device.type, enabled=False):
        logits = head_of(network)(hidden[rows, columns].float()).float()
    return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits[:, 0]


def head_of(network: Any) -> Any:
    return network.score if hasattr(network, "score") else network.classifier


def by_window(values: Sequence[float], parts: Sequence[Window]) -> list[list[float]]:
    """Values of all ends, given back to the windows they belong to."""
    found, at = [], 0
    for part in parts:
        found.append(list(values[at : at + len(part.ends)]))
        at += len(part.ends)
    return found


def length_batches(sizes: Sequence[int], tokens: int) -> list[list[int]]:
    """Indices of things of these sizes, alike ones together, each batch at most `tokens` tokens with its padding.

    >>> length_batches([5, 90, 6, 80], 200)
    [[0, 2], [3, 1]]
    """
    batches: list[list[int]] = []
    for at in sorted(range(len(sizes)), key=sizes.__getitem__):
        if batches and sizes[at] * (len(batches[-1]) + 1) <= tokens and sizes[at] <= 1.5 * sizes[batches[-1][0]]:
            batches[-1].append(at)
        else:
            batches.append([at])
    return batches
