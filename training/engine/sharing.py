"""Have a decoder pass what the rows of a batch share once, and no padding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from training.engine.recompute import kind_of
from training.engine.tree import Tree

if TYPE_CHECKING:
    from torch import Tensor

OTHER_INPUTS = {"inputs_embeds", "position_ids", "past_key_values"}
SCORE = 2e3  # multiplications that a score in half precision takes longer in torch's own attention on a CPU
CALL = 10e6  # multiplications that take as long as one more call of attention, there and back (benchmarks/engine.py)


@dataclass
class Tally:
    """What sharing came to: tokens there were, padding counted, and tokens that passed the layers."""

    why_not: str = ""  # in words, where a decoder is of a build whose tokens cannot be taken apart
    given: int = 0
    passed: int = 0


def share(decoder: Any, always: bool = False) -> Tally:
    """Have `decoder(input_ids, attention_mask, use_cache=False)` pass trees of rows; with `always`, also where that
    costs more. `input_ids` and `attention_mask` [rows, tokens]; `last_hidden_state` [rows, tokens, hidden] is zero on
    padding. Other calls (with a cache, with positions of their own) are left alone. The tally goes on counting.
    """
    import torch

    from training.engine import attention

    tally = Tally(unfit(decoder))
    if tally.why_not:
        return tally
    attention.teach(decoder)
    plain, weights = decoder.forward, weights_a_token(decoder)

    def forward(input_ids: Tensor | None = None, attention_mask: Tensor | None = None, **rest: Any) -> Any:
        rows = None
        rest = {name: value for name, value in rest.items() if name not in OTHER_INPUTS or value is not None}
        if rest.get("use_cache") is False and not rest.keys() & OTHER_INPUTS:
            rows = rows_of(input_ids, attention_mask)
        if rows is None:
            return plain(input_ids=input_ids, attention_mask=attention_mask, **rest)
        tree = Tree.of([tokens for tokens, _ in rows])
        half = input_ids.device.type == "cpu" and kind_of(decoder.embed_tokens.weight) != torch.float32
        wins = always or worth(tree, input_ids.numel(), weights, len(decoder.layers), half)
        tally.given += input_ids.numel()
        tally.passed += len(tree.tokens) if wins else input_ids.numel()
        if not wins:
            return plain(input_ids=input_ids, attention_mask=attention_mask, **rest)
        return pass_tree(plain, tree, rows, input_ids, rest)

    decoder.forward = forward
    return tally


def unfit(decoder: Any) -> str:
    """Why a decoder's tokens cannot be passed as a tree: what a token sees must be positions and keys, nothing else."""
    config = decoder.config
    slides = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    if not all(hasattr(decoder, name) for name in ("embed_tokens", "layers", "rotary_emb")):
        return "its positions are not rotary"
    if not getattr(decoder, "_supports_attention_backend", False):
        return "its attention cannot be exchanged"
    if slides or set(getattr(config, "layer_types", None) or []) - {"full_attention"}:
        return "its attention slides"
    if getattr(config, "attn_logit_softcapping", None) or getattr(config, "attention_dropout", 0):
        return "its attention is capped or drops out"
    return ""


def weights_a_token(decoder: Any) -> int:
    """Multiplications of a token in a forward pass, attention left out."""
    return sum(p.numel() for p in decoder.layers.parameters() if p.dim() == 2)


def worth(tree: Tree, plain_tokens: int, weights: int, layers: int, half: bool = False) -> bool:
    """Whether the tokens that need not be computed, and in half precision on a CPU the scores that are had sooner,
    outweigh the calls: by counts alone, so that a run that is resumed decides as it would have."""
    saved = (plain_tokens - len(tree.tokens)) * weights + (tree.scores * layers * SCORE if half else 0)
    return saved > len(tree.lines) * layers * CALL


def rows_of(input_ids: Tensor | None, attention_mask: Tensor | None) -> list[tuple[list[int], int]] | None:
    """Each row's own tokens and the column they begin at. None where a mask has holes, or is none of a batch."""
    import torch

    if input_ids is None or attention_mask is None or attention_mask.dim() != 2:
        return None
    mask = attention_mask.bool()
    counts, starts = mask.sum(1), mask.int().argmax(1)
    columns = torch.arange(mask.shape[1], device=mask.device)
    own = (columns >= starts[:, None]) & (columns < (starts + counts)[:, None])
    if not bool(mask.any()) or not torch.equal(mask, own):
        return None
    spans = zip(input_ids.tolist(), starts.tolist(), counts.tolist(), strict=True)
    return [(row[start : start + count], start) for row, start, count in spans]


def pass_tree(plain: Any, tree: Tree, rows: list[tuple[list[int], int]], input_ids: Tensor, rest: dict) -> Any:
    """The decoder's output over the tree, with the hidden states back in the rows; zeros on padding."""
    import torch

    from training.engine.attention import Layout

    device, width = input_ids.device, input_ids.shape[1]
    layout = Layout(tree, device)
    output = plain(
        input_ids=torch.tensor([tree.tokens], device=device),
        position_ids=torch.tensor([tree.positions], device=device),
        attention_mask=torch.zeros(1, 1, 1, 1, device=device),  # taken as made already, and looked at by nobody
        tree=layout,
        **rest,
    )
    flat = output.last_hidden_state[0]
    where = [torch.arange(len(tokens), device=device) + row * width + start for row, (tokens, start) in enumerate(rows)]
    states = flat.new_zeros(input_ids.numel(), flat.shape[1])
    places = torch.cat([place for _, place in layout.places])
    output.last_hidden_state = states.index_copy(0, torch.cat(where), flat[places]).view(*input_ids.shape, -1)
    return output
