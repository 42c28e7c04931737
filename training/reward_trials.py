"""Try rewards in a worker: on one completion, or on a sample of a dataset before a run is launched."""

import json
from datetime import timedelta
from itertools import islice
from typing import Any

from django.utils import timezone

from annotation.models import Completion, Dataset
from annotation.store import store
from training import background, serving, wake
from training.models import RewardTrial
from training.reward_report import report
from training.rewards import Mix, RewardFailed, parse
from training.sandbox import NoSandbox
from training.served_rewards import KINDS, NoSuchModel, models_for, resolver

TASK = "training.tasks.try_rewards"
SAMPLE = 64  # completions scored of a dataset
GROUP = 8  # of one prompt at most
LONGEST = 200_000  # characters of a completion
PATIENCE = 120.0  # seconds one reward may take
KEPT = timedelta(days=7)  # a trial is looked at when it ends, and seldom again


def ask(user: Any, rewards: str, prompt: str, completion: str, columns: dict[str, Any]) -> RewardTrial:
    """Score one completion. Raises ValueError for a list nobody can read."""
    parse(rewards)
    item = {"prompt": [{"role": "user", "content": prompt}], "completion": completion[:LONGEST], "row": columns}
    return queued(user, rewards=rewards, items=[item], total=1)


def ask_sample(user: Any, rewards: str, dataset: Dataset) -> RewardTrial:
    """Score what the project has for prompts of this dataset. Raises ValueError for a list nobody can read."""
    parse(rewards)
    return queued(user, rewards=rewards, dataset=dataset)


def queued(user: Any, **fields: Any) -> RewardTrial:
    sweep()
    trial = RewardTrial.objects.create(created_by=user, **fields)
    wake.on_commit(TASK, trial.pk)
    return trial


def sweep() -> None:
    """Forget trials of last week."""
    RewardTrial.objects.filter(created__lt=timezone.now() - KEPT).delete()


def wake_lost() -> int:
    """Send trials again whose message or worker was lost."""
    return background.wake_lost(RewardTrial, TASK)


def run(trial: RewardTrial) -> None:
    """What a worker does, once."""
    if not background.claim(trial):
        return
    try:
        result = look(trial)
    except (ValueError, RewardFailed, NoSandbox, NoSuchModel, OSError, serving.ServingError) as error:
        background.end(trial, "failed", str(error))
    else:
        background.end(trial, "succeeded", result=result, done=1, total=1)


def look(trial: RewardTrial) -> dict[str, Any]:
    parts = parse(trial.rewards)
    mix = Mix(parts, resolver(trial.created_by), patience=PATIENCE)
    items = trial.items or sampled(trial.dataset)
    found = report(mix, items)
    if trial.dataset:
        found["references"] = report(
            mix, [with_reference(item) for item in once(items) if item["row"].get("reference")]
        )
        found["prompts"] = len(once(items))
    return found


def sampled(dataset: Dataset) -> list[dict[str, Any]]:
    """Completions the project has for the dataset's first prompts, with their rows; else the rows alone."""
    with store().fetch(f"{dataset.folder}/train.jsonl").open(encoding="utf-8") as file:
        rows = {row["prompt_id"]: row for row in map(json.loads, islice(file, 4 * SAMPLE))}
    texts: dict[int, list[str]] = {}
    written = Completion.objects.filter(prompt_id__in=list(rows)).order_by("prompt_id", "pk")
    for prompt, text in written.values_list("prompt_id", "text"):
        if len(texts.setdefault(prompt, [])) < GROUP:
            texts[prompt].append(text)
    with_some = [item(rows[prompt], text) for prompt, group in texts.items() for text in group][:SAMPLE]
    return with_some or [item(row, None) for row in islice(rows.values(), SAMPLE)]


def box(dataset: Dataset | None) -> dict[str, str]:
    """The first row of a dataset of prompts, as the fields it is tried in; nothing for another dataset."""
    if dataset is None or dataset.shape != "prompts" or dataset.status != "ready":
        return {}
    with store().fetch(f"{dataset.folder}/train.jsonl").open(encoding="utf-8") as file:
        row = json.loads(file.readline() or "null")
    return as_box(item(row, "")) if row else {}


def as_box(item: dict[str, Any]) -> dict[str, str]:
    beside = {key: value for key, value in item["row"].items() if key != "reference"}
    columns = json.dumps(beside, indent=1, ensure_ascii=False) if beside else ""
    row = {"reference": item["row"].get("reference") or "", "columns": columns}
    return row | {"prompt": item["prompt"][-1]["content"], "completion": item["completion"]}


def item(row: dict[str, Any], text: str | None) -> dict[str, Any]:
    columns = {name: value for name, value in row.items() if name not in ("prompt", "prompt_id")}
    return {"prompt": row["prompt"], "completion": text, "row": columns, "group": row["prompt_id"]}


def once(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first item of every prompt."""
    return list({item.get("group"): item for item in reversed(items)}.values())[::-1]


def with_reference(item: dict[str, Any]) -> dict[str, Any]:
    return item | {"completion": item["row"]["reference"]}


def model_names(user: Any) -> dict[str, list[str]]:
    """Models each learned reward may name."""
    return {name: list(models_for(user, name).values_list("slug", flat=True)[:200]) for name in KINDS}
