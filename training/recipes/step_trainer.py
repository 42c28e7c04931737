"""What `prm` and `orm` share: learn a probability at the ends of steps, and measure it on held-out traces.

    loss = −1/n Σ w(y) · [ y log p + (1 − y) log(1 − p) ]        over the n labeled ends of an optimiser step

y is a label: 1, 0 or a fraction, which the cross-entropy then draws p to. p is σ of the log-odds read at the end.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any

from training.recipes.loop import Session
from training.recipes.steps import by_window, collate, length_batches, log_odds, trace_windows
from training.recipes.traces import Example, separator_of, weights_of

EVAL_TOKENS = 8192  # tokens in one forward pass where nothing is kept for a backward pass
CHUNK = 32  # batches whose examples are sorted by length together
BLUR = 0.1  # lengths are off by up to this share while they are sorted, so that no two epochs have the same batches

Scored = tuple[list[float], list[float | None]]  # of one trace: probability and label of every step that was read
Measure = Callable[[list[Scored]], dict[str, float | None]]


def fit(session: Session, model: Any, task: str, bad_weight: float, measure: Measure, train_name: str) -> None:
    """Train the model on the session's windows, save it with what inference must know, and say how it went."""
    session.marks = {"step_separator": separator_of(session.config), "step_window": session.config.max_length}
    read_at_ends(model)
    adapter = session.adapter(model, task, modules_to_save=["score" if hasattr(model, "score") else "classifier"])
    if adapter is not None:
        from peft import get_peft_model
        from transformers import set_seed

        set_seed(session.config.seed)  # an adapter begins with chance
        model = get_peft_model(model, adapter)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    trainer = make_trainer(session, model, weights_of(session.train_rows.windows, bad_weight), measure, train_name)
    session.fit(trainer, scores(session, last_only=task == "SEQ_CLS"))


def read_at_ends(model: Any) -> None:
    """Give the model a forward pass that answers with the log-odds at the ends, so that wrappers pass through it."""
    from torch.nn import Dropout

    for layer in model.modules():
        if isinstance(layer, Dropout):
            layer.p = 0.0  # a score must not depend on chance

    def forward(input_ids: Any, attention_mask: Any, rows: Any, columns: Any, **_: Any) -> Any:
        return log_odds(model, input_ids, attention_mask, rows, columns)

    model.forward = forward


def make_trainer(
    session: Session, model: Any, label_weights: tuple[float, float], measure: Measure, train_name: str
) -> Any:
    """A transformers Trainer over the session's windows, with the methods of StepTraining in place of its own."""
    from transformers import Trainer, TrainingArguments

    pad = session.tokenizer.pad_token_id
    trainer = type("StepTrainer", (StepTraining, Trainer), {})(
        model,
        TrainingArguments(**session.arguments(), remove_unused_columns=False),
        data_collator=partial(batch_of, pad=pad),
        train_dataset=session.train_rows.windows,
        eval_dataset=session.eval_rows.windows or None,
        processing_class=session.tokenizer,
    )
    trainer.pad, trainer.label_weights, trainer.measure, trainer.train_name = pad, label_weights, measure, train_name
    trainer.model_accepts_loss_kwargs = True  # the loss is divided by the labels of all batches of a step, once
    return trainer


def batch_of(examples: Sequence[Example], pad: int) -> dict[str, Any]:
    """What `collate` makes of their windows, and the label of every end, [ends]; −100 where there is none."""
    import torch

    labels = [-100.0 if label is None else label for part in examples for label in part.labels]
    return collate([part.window for part in examples], pad) | {"labels": torch.tensor(labels)}


class StepTraining:
    """Batches of alike lengths, this module's loss, metrics of whole traces: what is ours of a trainer."""

    pad: int
    label_weights: tuple[float, float]  # of good and of bad
    measure: Measure
    train_name: str  # of the accuracy on training batches
    tokens, sums = 0, None  # seen so far; of labeled ends since the last log: count, right, called bad, bad; and tokens

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        size = self._train_batch_size * self.args.world_size
        return AlikeLengths([len(part) for part in self.train_dataset], size, self.args.seed)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        labels = inputs.pop("labels")
        odds, there = model(**inputs), labels >= 0
        self.count(odds.detach()[there], labels[there], inputs["attention_mask"])
        loss = self.loss(odds[there], labels[there])
        if num_items_in_batch is None:
            return loss / there.sum()
        return loss / num_items_in_batch * self.accelerator.num_processes  # whose gradients are averaged

    def loss(self, odds: Any, labels: Any) -> Any:
        """Σ w(y) · cross-entropy, over ends that have labels."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        good, bad = self.label_weights
        return binary_cross_entropy_with_logits(odds, labels, labels * good + (1 - labels) * bad, reduction="sum")

    def count(self, odds: Any, labels: Any, mask: Any) -> None:
        import torch

        called_bad, bad = odds < 0, labels < 0.5
        right = (called_bad == bad).sum()
        new = torch.stack([torch.ones_like(bad).sum(), right, called_bad.sum(), bad.sum(), mask.sum()])
        self.sums = new if self.sums is None else self.sums + new

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs and self.sums is not None:
            ends, right, called_bad, bad, tokens = self.accelerator.reduce(self.sums, "sum").tolist()
            self.sums, self.tokens = None, self.tokens + tokens
            logs |= {self.train_name: right / ends, "called_bad": called_bad / ends, "labeled_bad": bad / ends}
            logs["num_tokens"] = self.tokens
        super().log(logs)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """The loss over held-out labels, and what `measure` says of held-out traces."""
        import torch

        examples = self.eval_dataset
        odds = log_odds_of(self, [part.window for part in examples], self.pad)
        pairs = zip(chain(*odds), chain(*(part.labels for part in examples)), strict=True)
        known = torch.tensor([pair for pair in pairs if pair[1] is not None])
        found = {"loss": self.loss(*known.T).item() / len(known)} | self.measure(by_trace(odds, examples))
        metrics = {f"eval_{name}": value for name, value in found.items() if value is not None}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


class AlikeLengths:
    """Indices in an order in which consecutive batches hold examples of alike lengths; another one every epoch."""

    def __init__(self, sizes: Sequence[int], batch: int, seed: int) -> None:
        self.sizes, self.batch, self.seed, self.epoch = sizes, batch, seed, 0

    def __len__(self) -> int:
        return len(self.sizes)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        import random

        chance = random.Random(f"{self.seed} {self.epoch}")
        order = chance.sample(range(len(self.sizes)), len(self.sizes))
        chunks = [order[at : at + CHUNK * self.batch] for at in range(0, len(order), CHUNK * self.batch)]
        batches = []
        for chunk in chunks:
            blurred = {index: self.sizes[index] * chance.uniform(1 - BLUR, 1 + BLUR) for index in chunk}
            alike = sorted(chunk, key=blurred.__getitem__)
            batches += [alike[at : at + self.batch] for at in range(0, len(alike), self.batch)]
        last = batches.pop() if batches and len(batches[-1]) < self.batch else []  # a short one must come last
        chance.shuffle(batches)
        return iter([index for batch in [*batches, last] for index in batch])


def log_odds_of(trainer: Any, parts: Sequence[Any], pad: int, alone: bool = False) -> list[list[float]]:
    """Log-odds of every end of these windows; several processes share the work unless this one was asked alone."""
    import torch
    from accelerate.utils import gather_object

    model, accelerator = trainer.accelerator.unwrap_model(trainer.model), trainer.accelerator
    place, count = (0, 1) if alone else (accelerator.process_index, accelerator.num_processes)
    was_training, found = model.training, []
    model.eval()
    for batch in length_batches([len(part) for part in parts], EVAL_TOKENS)[place::count]:
        inputs = {name: value.to(model.device) for name, value in collate([parts[at] for at in batch], pad).items()}
        with torch.no_grad(), accelerator.autocast():
            odds = model(**inputs).tolist()
        found += zip(batch, by_window(odds, [parts[at] for at in batch]), strict=True)
    model.train(was_training)
    found = gather_object(found) if count > 1 else found
    return [values for _, values in sorted(found)]


def by_trace(odds: Sequence[Sequence[float]], examples: Sequence[Example]) -> list[Scored]:
    """Probabilities and labels of the steps, put together again trace by trace."""
    found: dict[int, Scored] = {}
    for values, part in zip(odds, examples, strict=True):
        probs, labels = found.setdefault(part.row, ([], []))
        probs += map(sigmoid, values)
        labels += part.labels
    return list(found.values())


def sigmoid(x: float) -> float:
    from math import exp

    return 1 / (1 + exp(-x)) if x >= 0 else exp(x) / (1 + exp(x))


def scores(session: Session, last_only: bool) -> Any:
    """Sample the model: what it gives the steps of the first held-out traces."""

    def draw(trainer: Any) -> Iterator[dict[str, Any]]:
        config, separator = session.config, separator_of(session.config)
        for row in (session.eval_rows.rows or session.train_rows.rows)[: config.samples]:
            steps = row["completions"]
            parts = trace_windows(session.chat, row["prompt"], steps, separator, config.max_length, last_only)
            odds = log_odds_of(trainer, parts, session.tokenizer.pad_token_id, alone=True)
            probs = [sigmoid(value) for values in odds for value in values]
            places = [step for part in parts for step in part.steps]
            named = {f"step {at + 1}": p for at, p in zip(places, probs, strict=True)}
            yield {"prompt": row["prompt"], "completion": separator.join(steps), "reward": min(probs), "parts": named}

    return draw
