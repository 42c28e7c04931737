"""The demo project: prompts and rankings written for it, completions the starter model really gave."""

import json
import uuid
from pathlib import Path

from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from annotation.models import (
    Completion,
    Criterion,
    Membership,
    Project,
    Prompt,
    RankedCompletion,
    Ranking,
    Tally,
    fingerprint,
)

FOLDER = Path(__file__).parent
NAMESPACE = uuid.UUID("6f0a3c58-9f0e-4c1e-8a56-2a4a1d6a7d11")


def rows(name: str) -> list[dict]:
    return [json.loads(line) for line in (FOLDER / name).read_text(encoding="utf-8").splitlines() if line]


def demo_labeler(told: dict):
    """The account the demo's rankings stand under; it says what it is, and nobody can log in as it."""
    user, made = get_user_model().objects.get_or_create(
        username=told["username"], defaults={"about": told["about"], "first_name": told.get("name", "")}
    )
    if made:
        user.set_unusable_password()
        user.save(update_fields=["password"])
    return user


@transaction.atomic
def load_demo(manager) -> Project:
    """Make the demo project with `manager` as its manager; one that is there already is left as it is."""
    told = json.loads((FOLDER / "project.json").read_text(encoding="utf-8"))
    if project := Project.objects.filter(slug=told["slug"]).first():
        return project
    project = Project.objects.create(
        name=told["name"],
        slug=told["slug"],
        description=told["description"],
        guidelines=told["guidelines"],
        labels_wanted=told["labels_wanted"],
        allow_ties=told["ties_allowed"],
        blind=told["blind"],
    )
    labeler = demo_labeler(told["labeler"])
    Membership.objects.create(project=project, user=manager, role="manager")
    Membership.objects.create(project=project, user=labeler, role="labeler")
    criteria = {c["name"]: Criterion.objects.create(project=project, **c) for c in told["criteria"]}
    rankings = {row["id"]: row for row in rows("rankings.jsonl")}
    completions: dict[str, list[dict]] = {}
    for row in rows("completions.jsonl"):
        completions.setdefault(row["id"], []).append(row)
    for row in rows("prompts.jsonl"):
        prompt = add_prompt(project, criteria[row["criterion"]], row)
        written = {c["setting"]: add_completion(prompt, c) for c in completions[row["id"]]}
        if ranking := rankings.get(row["id"]):
            add_ranking(prompt, labeler, written, ranking)
    Project.objects.filter(pk=project.pk).update(prompt_count=project.prompts.count())
    Tally.objects.create(project=project, labeler=labeler, day=timezone.localdate(), labels=len(rankings))
    return project


def add_prompt(project: Project, criterion: Criterion, row: dict) -> Prompt:
    return Prompt.objects.create(
        project=project,
        criterion=criterion,
        messages=row["messages"],
        text=row["messages"][-1]["content"],
        reference=row["metadata"].get("reference", ""),
        metadata=row["metadata"] | {"id": row["id"]},
        origin="demo",
        fingerprint=fingerprint(row["messages"]),
        labels_wanted=project.labels_wanted,
        open_slots=project.labels_wanted,
    )


def add_completion(prompt: Prompt, row: dict) -> Completion:
    """Two settings may have said the same: then both names stand for one completion."""
    return Completion.objects.get_or_create(
        prompt=prompt,
        fingerprint=fingerprint(row["text"]),
        defaults={
            "text": row["text"],
            "source": f"SmolLM2-135M-Instruct, {row['setting']}",
            "metadata": {k: v for k, v in row.items() if k not in ("id", "text")},
        },
    )[0]


def add_ranking(prompt: Prompt, labeler, written: dict[str, Completion], row: dict) -> None:
    ranking = Ranking.objects.create(
        prompt=prompt,
        labeler=labeler,
        source="demo",
        key=uuid.uuid5(NAMESPACE, f"{prompt.project.slug}/{row['id']}"),
        comment=row.get("comment", ""),
        **{flag: flag in row.get("flags", []) for flag in ("all_bad", "unsure", "bad_prompt")},
    )
    places = {written[setting]: (rank, row["ratings"].get(setting)) for setting, rank in row["ranks"].items()}
    RankedCompletion.objects.bulk_create(
        RankedCompletion(ranking=ranking, completion=completion, rank=rank, rating=rating, shown=shown)
        for shown, (completion, (rank, rating)) in enumerate(places.items(), 1)
    )
    Prompt.objects.filter(pk=prompt.pk).update(labels_given=1, open_slots=prompt.labels_wanted - 1)
