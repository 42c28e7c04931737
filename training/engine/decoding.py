"""Draw completions: rows decode together as one row of tokens; a prompt's keys and values stand once for its rows.

Linear layers see a step's tokens side by side, attention alone tells the rows apart. A row that ends leaves at once,
and rows that wait come in its place, so that a step has about as many tokens as the machine is fastest with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from training.engine.attention import Layout
from training.engine.tree import Tree

if TYPE_CHECKING:
    from torch import Tensor

ROWS = 128  # decoded together: more are hardly faster on a CPU, and each holds its keys and values
TOKENS = 32_768  # held by all rows together, at most
READ = 8192  # tokens of prompts that pass at once
FEWER = 0.75  # rows that wait come when no more than this share of the places is taken: reading alone is slow
ROOM = 64  # columns by which buffers grow


@dataclass
class Part:
    """Rows of one prompt that go on together, by their numbers in the answer."""

    prompt: list[int]
    numbers: range


def parts_of(prompts: Sequence[list[int]], n: int, most: int) -> list[Part]:
    """n rows of each prompt, no more than `most` in a part; prompts of alike lengths follow one another.

    >>> [(len(part.prompt), list(part.numbers)) for part in parts_of([[1], [2, 3]], 3, most=2)]
    [(2, [3, 4]), (2, [5]), (1, [0, 1]), (1, [2])]
    """
    order = sorted(range(len(prompts)), key=lambda at: -len(prompts[at]))
    return [
        Part(prompts[at], range(at * n + start, at * n + min(n, start + most)))
        for at in order
        for start in range(0, n, most)
    ]


def decode(
    decoder: Any,
    choose: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    prompts: Sequence[list[int]],
    chance: Tensor,
    ends: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Completions of the prompts, as many of each: tokens [rows, tokens], what is said of them [rows, tokens, kinds],
    and their lengths. No prompt is empty.

    `choose(states, chance)` finds each row's next token, [rows], and what there is to say of it, [rows, kinds], by its
    hidden state. `chance` [rows, tokens] belongs to a row and a place in it, whoever decodes beside it. Tokens of
    `ends` end a row.
    """
    import torch

    (count, max_tokens), n, device = chance.shape, len(chance) // len(prompts), chance.device
    held = max_tokens + -(-max(map(len, prompts)) // min(n, ROWS))  # by a row, its share of the prompt included
    most = max(1, min(count, ROWS, TOKENS // held))
    queue, rows = parts_of(prompts, n, most), Rows(decoder, most, alone=n == 1, device=device)
    tokens = torch.zeros(count, max_tokens, dtype=torch.long, device=device)
    said, lengths = None, torch.zeros_like(tokens[:, 0])
    states: list[Tensor] = []
    while queue or len(rows):
        if len(rows) <= FEWER * most:
            while coming := fitting(queue, most - len(rows)):
                states.append(rows.join(coming))
                queue = queue[len(coming) :]
        here = rows.numbers, rows.made
        latest, told = choose(torch.cat(states), chance[here])
        said = told.new_zeros(count, max_tokens, told.shape[1]) if said is None else said
        tokens[here], said[here], lengths[rows.numbers] = latest, told, rows.made + 1
        going = ~(torch.isin(latest, ends) | (rows.made + 1 == max_tokens))
        kept = rows.keep(going)
        states = [rows.step(latest[kept])] if len(rows) else []
    return tokens, said, lengths


def fitting(queue: Sequence[Part], room: int) -> list[Part]:
    """The first parts of the queue that find a place, and can be read in one pass."""
    found: list[Part] = []
    for part in queue:
        room -= len(part.numbers)
        if room < 0 or (found and sum(len(one.prompt) for one in [*found, part]) > READ):
            break
        found.append(part)
    return found


class Prefill(Layout):
    """A pass over prompts that keeps keys and values, a pair [2, heads, tokens, size] from each layer."""

    def __init__(self, tree: Tree, device: Any) -> None:
        super().__init__(tree, device)
        self.held: list[Tensor] = []

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
        import torch

        self.held.append(torch.stack([key[0], value[0]]).float())
        return super().attend(layer, query, key, value, scale)


@dataclass
class Group:
    """Rows side by side that share a prompt: how many, and its keys and values [layers, 2, heads, tokens, size]."""

    count: int
    held: Tensor


class Rows:
    """Rows that decode together. As `tree` of a decoder's pass it is their attention.

    Rows that share a prompt stand side by side, as a group. Their own keys and values are in slots of `buffer`,
    [layers, 2, slots, heads, columns, size], of which the first are taken, in no order: the last one moves to where a
    row has left. Rows that are `alone` have their prompt in there as well, and are in no group. All in fp32.
    """

    def __init__(self, decoder: Any, most: int, alone: bool, device: Any) -> None:
        import torch

        self.decoder, self.most, self.alone, self.device = decoder, most, alone, device
        self.groups: list[Group] = []
        self.buffer: Any = None
        self.set(torch.empty(5, 0, dtype=torch.long, device=device))

    def set(self, state: Tensor) -> None:
        """Of each row: its number, tokens made, slot, columns held, and the position of its next token; and what
        follows from them for all layers of a step."""
        import torch

        self.state = state
        self.numbers, self.made, self.slots, self.columns, self.positions = state
        if not len(self):
            return
        self.order = self.slots.argsort()  # of rows, by slot
        self.in_order = bool((self.slots[1:] > self.slots[:-1]).all())
        self.width = int(self.columns.max()) + 1
        self.abreast = self.in_order and bool((self.columns == self.width - 1).all())  # all write one column
        ahead = torch.arange(self.width, device=self.device) > self.columns[self.order][:, None]
        self.ahead = ahead[:, None, None] if bool(ahead.any()) else None

    def __len__(self) -> int:
        return self.state.shape[1]

    def join(self, parts: Sequence[Part]) -> Tensor:
        """Read prompts and let their rows in, behind the others: [rows, hidden], from which their first tokens come."""
        import torch

        tree = Tree.of([part.prompt for part in parts])
        prefill = Prefill(tree, self.device)
        hidden, held = self.passed(tree.tokens, tree.positions, prefill), torch.stack(prefill.held)
        before, fresh, last = len(self), [], []
        for part, places in zip(parts, tree.places, strict=True):
            own = held[:, :, :, torch.tensor(places, device=self.device)]
            if self.alone:
                self.room(held.shape, len(places))
                self.buffer[:, :, before + len(fresh), :, : len(places)] = own
            else:
                self.room(held.shape, 0)
                self.groups.append(Group(len(part.numbers), own))
            for number in part.numbers:
                slot, columns = before + len(fresh), len(places) if self.alone else 0
                fresh.append([number, 0, slot, columns, len(places)])
                last.append(places[-1])
        self.set(torch.cat([self.state, torch.tensor(fresh, device=self.device).T], dim=1))
        return hidden[torch.tensor(last, device=self.device)]

    def step(self, tokens: Tensor) -> Tensor:
        """Pass each row's newest token: [rows, hidden], from which the next ones come."""
        self.room(self.shape, self.width)
        hidden = self.passed(tokens, self.positions, self)
        self.set(self.state + self.state.new_tensor([0, 0, 0, 1, 1])[:, None])
        return hidden

    def passed(self, tokens: Any, positions: Any, tree: Any) -> Tensor:
        """Hidden states of tokens that stand side by side, [tokens, hidden]."""
        import torch

        ids, positions = (torch.as_tensor(part, device=self.device)[None] for part in (tokens, positions))
        taken = torch.zeros(1, 1, 1, 1, device=self.device)  # for a mask made already, and looked at by nobody
        output = self.decoder(input_ids=ids, position_ids=positions, attention_mask=taken, tree=tree, use_cache=False)
        return output.last_hidden_state[0]

    def room(self, shape: Sequence[int], columns: int) -> None:
        """Have so many columns in the buffer; `shape` is that of what it holds, [layers, 2, heads, tokens, size]."""
        import torch

        self.shape = shape
        layers, both, heads, _, size = shape
        old = self.buffer
        if old is None or old.shape[4] < columns:
            self.buffer = torch.zeros(layers, both, self.most, heads, columns + ROOM, size, device=self.device)
        if old is not None and old is not self.buffer:
            self.buffer[:, :, :, :, : old.shape[4]] = old

    def keep(self, going: Tensor) -> Tensor:
        """Let the other rows leave, and those of the last slots move to where they were. Which rows stay, in their new
        order."""
        kept = going.nonzero()[:, 0]
        self.made += 1
        if len(kept) == len(going):
            return kept
        state = self.state[:, kept]
        left, far = self.slots[~going], state[2] >= state.shape[1]
        free = left[left < state.shape[1]]
        if len(free):
            width = self.width
            self.buffer[:, :, free, :, :width] = self.buffer[:, :, state[2][far], :, :width]
            state[2, far] = free
        start = 0
        for group in self.groups:
            start, group.count = start + group.count, int(going[start : start + group.count].sum())
        self.groups = [group for group in self.groups if group.count]
        if len(self.groups) <= 1:  # in any order they stand side by side: that of their slots is the quickest
            order = state[2].argsort()
            kept, state = kept[order], state[:, order]
        self.set(state)
        return kept

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
        """`query` [1, heads, rows, size], `key` and `value` perhaps with fewer heads. Returns [1, rows, heads,
        size]."""
        import torch

        rows, size, few = len(self), query.shape[3], key.shape[1]
        with torch.autocast(query.device.type, enabled=False):
            store, width = self.buffer[layer], self.width
            for kind, fresh in enumerate((key, value)):
                if self.abreast:
                    store[kind, :rows, :, width - 1] = fresh[0].transpose(0, 1)
                else:
                    store[kind, self.slots, :, self.columns] = fresh[0].transpose(0, 1).float()
            # Heads that share keys are queries of one head.
            asks = query[0].float().transpose(0, 1).reshape(rows, few, -1, size) * (scale or size**-0.5)
            own = self.by_slot(asks) @ store[0, :rows, :, :width].transpose(2, 3)  # [slots, few, queries, columns]
            if self.ahead is not None:
                own = own.masked_fill(self.ahead, -torch.inf)
            weights = torch.cat([self.of_prompts(asks, layer), self.by_row(own)], 3).softmax(3)
            of_prompts = weights[..., : weights.shape[3] - width]
            out = self.by_row(self.by_slot(weights[..., -width:]) @ store[1, :rows, :, :width])
            return self.add_prompts(out, of_prompts, layer).reshape(1, rows, -1, size).to(query.dtype)

    def by_slot(self, part: Tensor) -> Tensor:
        return part if self.in_order else part[self.order]

    def by_row(self, part: Tensor) -> Tensor:
        return part if self.in_order else part[self.slots]

    def of_prompts(self, asks: Tensor, layer: int) -> Tensor:
        """Scores of the groups' prompts, [rows, heads, queries, tokens of the longest]."""
        if len(self.groups) == 1:
            return self.of_prompt(asks, self.groups[0].held[layer, 0].transpose(1, 2))
        longest = max((group.held.shape[3] for group in self.groups), default=0)
        scores, start = asks.new_full((*asks.shape[:3], longest), -float("inf")), 0
        for group in self.groups:
            keys, end = group.held[layer, 0], start + group.count
            scores[start:end, ..., : keys.shape[1]] = self.of_prompt(asks[start:end], keys.transpose(1, 2))
            start = end
        return scores

    @staticmethod
    def of_prompt(rows: Tensor, held: Tensor) -> Tensor:
        """`rows` [rows, heads, queries, …] times what they share, [heads, …, …]: one product a head for all of them."""
        found = rows.transpose(0, 1).flatten(1, 2) @ held
        return found.unflatten(1, (rows.shape[0], -1)).transpose(0, 1)

    def add_prompts(self, out: Tensor, weights: Tensor, layer: int) -> Tensor:
        """`out` [rows, heads, queries, size] with the groups' values, by their weights."""
        start = 0
        for group in self.groups:
            values, end = group.held[layer, 1], start + group.count
            out[start:end] += self.of_prompt(weights[start:end, ..., : values.shape[1]], values)
            start = end
        return out
