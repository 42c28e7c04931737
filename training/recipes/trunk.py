"""Layers below the lowest adapter never change: on a CPU, run each row through them once and remember the result.

With lora_layers=8 of 30, a pair passes the 22 frozen layers one time: the reference pass, later epochs and the last
evaluation start from layer 23. The numbers are the same; a test compares them with a plain forward pass.
"""

from typing import Any

BYTES = 8  # of a token id
SAVES = "{} frozen layers passed once a row"


class Trunk:
    """Stands before `layers[depth]` of a decoder (`embed_tokens`, `layers`, `norm`) and remembers what reaches it."""

    def __init__(self, decoder: Any, depth: int) -> None:
        self.decoder, self.depth = decoder, depth
        self.rows: dict[bytes, Any] = {}  # a row's token ids -> hidden states [tokens, hidden] after `depth` layers
        self.keys: list[bytes] | None = None  # of the batch that is passing now; None: pass it plainly
        self.plain = [layer.forward for layer in decoder.layers[:depth]]

    def install(self) -> None:
        self.decoder.register_forward_pre_hook(self.look, with_kwargs=True)
        self.decoder.layers[0].forward = self.recall
        for layer in self.decoder.layers[1 : self.depth]:
            layer.forward = self.skip(layer.forward)

    def look(self, decoder: Any, args: Any, kwargs: dict[str, Any]) -> None:
        """Before a forward pass. One with a cache of keys (generation) needs every layer and is left alone."""
        ids, mask = kwargs.get("input_ids"), kwargs.get("attention_mask")
        self.keys = None
        if kwargs.get("use_cache") is False and ids is not None and mask is not None and mask.dim() == 2:
            counts = mask.sum(1).tolist()
            if all(row[:count].all() for row, count in zip(mask, counts, strict=True)):  # padded on the right
                self.keys = [row[:count].numpy().tobytes() for row, count in zip(ids, counts, strict=True)]

    def recall(self, hidden: Any, *args: Any, **kwargs: Any) -> Any:
        """In place of the first layer: what comes out of the last frozen one."""
        if self.keys is None:
            return self.plain[0](hidden, *args, **kwargs)
        tree = kwargs.get("tree")  # of all rows, where the decoder passes one (training.engine)
        places = tree.places if tree else [(row, slice(len(key) // BYTES)) for row, key in enumerate(self.keys)]
        if not all(key in self.rows for key in self.keys):
            self.remember(hidden, places, *args, **kwargs)
        found = hidden.new_zeros(hidden.shape)
        for key, place in zip(self.keys, places, strict=True):
            found[place] = self.rows[key]
        return found

    def remember(self, hidden: Any, places: Any, *args: Any, **kwargs: Any) -> None:
        import torch

        with torch.no_grad():
            for forward in self.plain:
                hidden = forward(hidden, *args, **kwargs)
        for key, place in zip(self.keys, places, strict=True):
            self.rows[key] = hidden[place].clone()

    def skip(self, plain: Any) -> Any:
        def forward(hidden: Any, *args: Any, **kwargs: Any) -> Any:
            return plain(hidden, *args, **kwargs) if self.keys is None else hidden

        return forward


def frozen_depth(model: Any) -> int:
    """How many of the first layers hold nothing that learns. 0 where the embedding learns, or the build is unusual."""
    decoder = model.base_model
    if not hasattr(decoder, "layers") or any(p.requires_grad for p in decoder.embed_tokens.parameters()):
        return 0
    learning = [any(p.requires_grad for p in layer.parameters()) for layer in decoder.layers]
    return learning.index(True) if any(learning) else 0
