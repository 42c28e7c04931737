"""The step page: the form its card makes of a trace, a row a step, and what such a form says."""

from typing import Any

from django.urls import reverse

from annotation.models import Project
from annotation.steps.labeling import REASONS, next_trace, save_draft, submit_held, submit_steps
from annotation.steps.ratings import MARKS, SIGNS
from annotation.templatetags.text import markdown
from annotation.views.labeling import Page

MANY = 60  # steps from which the browser lays out only those in sight


def said_in(post) -> dict[str, Any]:
    """The form as `ratings.checked` reads it."""
    marks = by_step(post, "step_")
    return {
        "ratings": [marks.get(step) for step in range(max(marks, default=-1) + 1)],
        "flagged": list(by_step(post, "flag_")),
        "rewrites": {step: text for step, text in by_step(post, "rewrite_").items() if text.strip()},
        "proposals": post.get("proposals", "").split(","),
        "comment": post.get("comment", ""),
        "seconds": post.get("seconds"),
        **{name: post.get(name, "") for name in REASONS},
    }


def by_step(post, prefix: str) -> dict[int, str]:
    """Fields like `step_3` by their step; a name that is none is passed over."""
    places = {name: name.removeprefix(prefix) for name in post if name.startswith(prefix)}
    return {int(place): post[name] for name, place in places.items() if place.isdecimal() and len(place) < 6}


def filled(project: Project, task: dict, draft: dict, errors: dict) -> dict[str, Any]:
    """The steps with what the draft and machines say of each, and what ends a trace early."""
    rows = [row(step, place, draft, errors) for place, step in enumerate(task["steps"])]
    return {
        "rows": rows,
        "sampling": f"{reverse('alternatives', args=[project.slug])}?prompt={task['prompt']['id']}",
        "proposed": any(step["proposals"] for step in rows),
        "many": len(rows) > MANY,
        "gave_up": REASONS["gave_up"].items(),
        "bad_problem": REASONS["bad_problem"].items(),
        "ended": ended(draft),
        "shown": ",".join(map(str, task["proposals"])),
    }


def row(step: dict, place: int, draft: dict, errors: dict) -> dict[str, Any]:
    """One step as the card shows it. What has an error at this step is taken out of `errors`."""
    ratings = draft.get("ratings", [])
    rating = ratings[place] if place < len(ratings) else None
    for proposal in step["proposals"]:
        score, error = (value if value is None else f"{value:.2f}" for value in (proposal["score"], proposal["error"]))
        proposal |= {"mark": MARKS[proposal["rating"]], "sign": SIGNS[proposal["rating"]], "score": score}
        proposal |= {"error": error, "rating": str(proposal["rating"])}
    found = [errors.pop(f"{field}_{place}", "") for field in ("step", "rewrite")]
    return step | {
        "place": str(place),  # text, for a template makes text of a number slowly
        "n": str(place + 1),
        "html": markdown(step["text"]),
        "bad": rating == -1,
        "neutral": rating == 0,
        "good": rating == 1,
        "flagged": place in draft.get("flagged", []),
        "rewrite": draft.get("rewrites", {}).get(str(place), ""),
        "error": " ".join(filter(None, found)),
    }


def ended(draft: dict) -> str:
    """The reason of a decision that was opened again, in words."""
    return next((REASONS[name][draft[name]] for name in REASONS if draft.get(name)), "")


PAGE = Page("steps", "steps", "labels", said_in, next_trace, submit_steps, submit_held, save_draft, filled)
