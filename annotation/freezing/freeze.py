"""Freeze a project's labels into a dataset: immutable rows, split by prompt, with a fingerprint and a report."""

import hashlib
import json
import shutil
import time
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.text import slugify

from annotation import wake
from annotation.freezing.blocks import NotFrozen, Rows
from annotation.freezing.pair_rows import PairRows
from annotation.freezing.prompt_rows import PromptRows
from annotation.models import Dataset, Project
from annotation.steps.freezing import OutcomeRows, StepwiseRows
from annotation.store import store

ROWS: dict[str, type[Rows]] = {
    "pairs": PairRows,
    "stepwise": StepwiseRows,
    "outcome": OutcomeRows,
    "prompts": PromptRows,
}
SHAPES_OF = {
    "ranking": ("pairs", "prompts"),
    "steps": ("stepwise", "outcome", "prompts"),
}  # kind of project → shapes of its rows
SILENT = timedelta(seconds=30)
TASK = "annotation.tasks.freeze_dataset"


def freeze(
    project: Project,
    name: str,
    options: dict[str, Any] | None = None,
    user: Any = None,
    background: bool = True,
    shape: str = "",
) -> Dataset:
    """The dataset of these labels: the one there is already when nothing has changed, else a new one being written.

    `dataset.again` says which. With background=False it is written here and now. `shape` is the first of the project's
    kind when not given.
    """
    shapes = SHAPES_OF[project.kind]
    shape = shape or shapes[0]
    if shape not in shapes:
        raise NotFrozen(f"A project of kind {project.kind} is frozen as {' or '.join(shapes)}, not as {shape}.")
    options = ROWS[shape].checked(options or {})
    options |= ROWS[shape](project, options).state()
    older = project.datasets.filter(shape=shape).exclude(status="failed")
    if twin := next((d for d in older if d.options == options), None):
        twin.again = True
        return twin
    dataset = create(project, name.strip() or project.name, shape, options, user)
    if not background:
        write(dataset)
        return final(dataset)
    wake.on_commit(TASK, dataset.pk)
    dataset.again = False
    return dataset


def create(project: Project, name: str, shape: str, options: dict, user: Any) -> Dataset:
    stem = slugify(name)[:80] or "dataset"
    taken = set(Dataset.objects.filter(slug__startswith=stem).values_list("slug", flat=True))
    for number in range(1, len(taken) + 10):
        slug = stem if number == 1 else f"{stem}-{number}"
        if slug in taken:
            continue
        try:
            with transaction.atomic():
                fields = {"name": name[:120], "slug": slug, "shape": shape, "options": options, "created_by": user}
                return Dataset.objects.create(project=project, **fields)
        except IntegrityError:  # somebody took the name a moment ago
            continue
    raise NotFrozen(f"There are too many datasets called {name}; choose another name.")


def wake_lost() -> int:
    """Send freezes again whose message or worker was lost; a second writer of the same dataset changes nothing."""
    lost = [d for d in Dataset.objects.filter(status="freezing") if timezone.now() - heard_of(d) > SILENT]
    for dataset in lost:
        beat(dataset, dataset.done)
        wake.send(TASK, dataset.pk)
    return len(lost)


def heard_of(dataset: Dataset) -> Any:
    beat = dataset.report.get("beat")
    return timezone.datetime.fromisoformat(beat) if beat else dataset.created


def beat(dataset: Dataset, done: int) -> None:
    dataset.done, dataset.report = done, {"beat": timezone.now().isoformat()}
    Dataset.objects.filter(pk=dataset.pk, status="freezing").update(
        done=dataset.done, total=dataset.total, report=dataset.report
    )


def final(dataset: Dataset) -> Dataset:
    """The dataset as written, or the older one its rows turned out to equal."""
    dataset.refresh_from_db()
    if older := dataset.options.get("same_as"):
        dataset.delete()
        dataset = Dataset.objects.get(slug=older)
    dataset.again = bool(older)
    if dataset.status == "failed":
        raise NotFrozen(dataset.message)
    return dataset


def write(dataset: Dataset) -> None:
    """Write the rows, then publish them all at once; a failure leaves a dataset that says why, and no files."""
    if dataset.status != "freezing":
        return
    folder = store().work(f"{dataset.folder}.{uuid.uuid4().hex}.partial")
    folder.mkdir()
    try:
        publish(dataset, folder, write_rows(dataset, folder))
    except (NotFrozen, OSError) as error:
        text = f"The rows cannot be written: {error.strerror or error}." if isinstance(error, OSError) else str(error)
        Dataset.objects.filter(pk=dataset.pk, status="freezing").update(status="failed", message=text, report={})
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_rows(dataset: Dataset, folder: Path) -> dict[str, Any]:
    """train.jsonl and eval.jsonl with the report; when one split stays empty, once more with a prompt moved over."""
    written = Split(dataset, folder).run()
    if not written["train"] or not written["eval"]:
        if written["report"]["prompts"] < 2:
            raise NotFrozen(written["too_few"])
        written = Split(dataset, folder, moved=written["nearest"]).run()
    return written


class Split:
    """One pass over the labels that deals prompts to train or eval by a hash of prompt and seed."""

    def __init__(self, dataset: Dataset, folder: Path, moved: str = ""):
        self.dataset, self.folder, self.moved = dataset, folder, moved
        self.rows = {"train": 0, "eval": 0}
        self.ends: dict[str, tuple[float, str]] = {}

    def run(self) -> dict[str, Any]:
        dataset = self.dataset
        source = ROWS[dataset.shape](dataset.project, dataset.options)
        dataset.total, done, heard = source.total(), 0, time.monotonic()
        with (self.folder / "train.jsonl").open("w") as train, (self.folder / "eval.jsonl").open("w") as evaluation:
            files = {"train": train, "eval": evaluation}
            for block in source.blocks():
                if block.lines:
                    split = self.side(block.mark)
                    files[split].writelines(block.lines)
                    self.rows[split] += len(block.lines)
                done += block.done
                if time.monotonic() - heard > 1:
                    heard = time.monotonic()
                    beat(dataset, done)
        nearest = min(self.ends.values())[1] if self.ends and not self.rows["eval"] else ""
        if self.ends and not self.rows["train"]:
            nearest = max(self.ends.values())[1]
        return {**self.rows, "report": source.summary(), "nearest": nearest, "too_few": source.too_few()}

    def side(self, fingerprint: str) -> str:
        place = place_of(fingerprint, self.dataset.options["seed"])
        self.ends["low"] = min(self.ends.get("low", (2.0, "")), (place, fingerprint))
        self.ends["high"] = max(self.ends.get("high", (-1.0, "")), (place, fingerprint))
        held_out = place < self.dataset.options["eval_share"]
        return "eval" if held_out != (fingerprint == self.moved) else "train"


def place_of(fingerprint: str, seed: int) -> float:
    """A prompt's place in [0, 1): the same in every dataset with this seed, so no prompt ever changes sides.

    >>> round(place_of("a", 42), 3) == round(place_of("a", 42), 3) != round(place_of("b", 42), 3)
    True
    """
    return int.from_bytes(hashlib.sha256(f"{seed}:{fingerprint}".encode()).digest()[:6]) / 2**48


def publish(dataset: Dataset, folder: Path, written: dict[str, Any]) -> None:
    from annotation.freezing.columnar import to_parquet

    fingerprint = fingerprint_of(folder)
    mine = Dataset.objects.filter(pk=dataset.pk, status="freezing")
    same = dataset.project.datasets.filter(fingerprint=fingerprint, status="ready").exclude(pk=dataset.pk).first()
    if same and same.options.get("eval_share") == dataset.options["eval_share"]:
        message = f"These are the rows of {same}; nothing was frozen twice."
        mine.update(status="failed", message=message, options=dataset.options | {"same_as": same.slug}, report={})
        return
    source = ROWS[dataset.shape](dataset.project, dataset.options)
    for split in ("train", "eval"):
        to_parquet(folder / f"{split}.jsonl", source.schema())
    final = store().work(dataset.folder)
    shutil.rmtree(final, ignore_errors=True)
    folder.rename(final)
    store().save(dataset.folder)
    mine.update(
        status="ready",
        fingerprint=fingerprint,
        rows_train=written["train"],
        rows_eval=written["eval"],
        ranking_count=written["report"]["rankings"],
        report=written["report"] | {"labels": source.labels_then(dataset.created)},
        done=dataset.total,
        total=dataset.total,
    )


def fingerprint_of(folder: Path) -> str:
    """sha256 of all rows in their order: what `cat train.jsonl eval.jsonl | sha256sum` says."""
    digest = hashlib.sha256()
    for split in ("train", "eval"):
        with (folder / f"{split}.jsonl").open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def held_out_prompts(dataset: Dataset) -> list[list[dict]]:
    """The prompts (as chats) of the eval split, each once, in their order."""
    with store().fetch(f"{dataset.folder}/eval.jsonl").open() as file:
        rows = map(json.loads, file)
        return list({json.dumps(row["prompt"]): row["prompt"] for row in rows}.values())
