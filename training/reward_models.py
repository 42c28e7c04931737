"""Which of our models a run is rewarded by: named in its settings, found here, handed to the recipe as folders."""

from typing import Any

from django.db.models import Q

from training.models import ModelVersion

KINDS = {"reward_model": "reward_model", "orm": "outcome_reward_model", "prm": "process_reward_model"}


def rewarding(settings: dict[str, Any], project: Any) -> dict[str, ModelVersion]:
    """Models that the settings `rewards` and `gold` name, by name. ValueError says which cannot be used, and why."""
    from training import rewards

    lists = (text for name in ("rewards", "gold") if (text := (settings.get(name) or "").strip()))
    parts = [part for text in lists for part in rewards.parse(text) if part.name in KINDS]
    return {part.argument: model(part.argument, KINDS[part.name], project) for part in parts}


def model(name: str, makes: str, project: Any) -> ModelVersion:
    usable = ModelVersion.objects.filter(Q(project=None) | Q(project=project))
    found = usable.filter(slug=name).first()
    if found is None:
        kind = usable.filter(makes=makes, status="ready").values_list("slug", flat=True)[:5]
        raise ValueError(
            f"There is no model {name} to reward with. There are: {', '.join(kind) or 'none of this kind'}."
        )
    if found.makes != makes:
        raise ValueError(f"{found} is of the kind {found.get_makes_display().lower()}, which this reward cannot ask.")
    if found.endpoint or found.status != "ready":
        what = "an endpoint, whose weights we do not hold" if found.endpoint else found.status
        raise ValueError(f"{found} is {what}; a run is rewarded by models that are ready here.")
    return found
