"""Move the cuts of a trace that nobody has labeled: the text stays, its steps change."""

import re

from django.db import transaction

from annotation.models import Completion, Project, Prompt, fingerprint
from annotation.steps.marks import STEP_LIMIT

DASHES = re.compile(r"^-{3,}$", re.MULTILINE)


class Uncut(ValueError):
    """The cuts stay as they are; the text says why."""


def mark_for(text: str) -> str:
    """A line of dashes that the text itself does not hold: it stands between the steps in a form.

    >>> mark_for("a\\n---\\nb"), mark_for("a")
    ('----', '---')
    """
    return "-" * max((len(line) + 1 for line in DASHES.findall(text)), default=3)


def steps_in(text: str, mark: str) -> list[str]:
    """
    >>> steps_in("2 + 2\\n---\\n\\n = 4\\n---\\n", "---")
    ['2 + 2', '= 4']
    """
    pieces = re.split(rf"^{re.escape(mark)}[^\S\n]*$", text.replace("\r\n", "\n"), flags=re.MULTILINE)
    return [piece.strip() for piece in pieces if piece.strip()]


def why_not(prompt: Prompt) -> str:
    """What keeps the cuts where they are; '' when nothing does."""
    if labels := prompt.step_labels.select_related("labeler").first():
        return f"The labels by {labels.name} are for the steps as they are."
    if prompt.leases.exists() or prompt.drafts.exists():
        return "Somebody is marking these steps."
    if prompt.completions.filter(alternatives__isnull=False).exists():
        return "Other texts were sampled for the steps as they are."
    return ""


@transaction.atomic
def recut(prompt: Prompt, steps: list[str]) -> None:
    """Give the trace these steps; Uncut where labels stand in the way, or the text is another one."""
    Project.objects.select_for_update(no_key=True).get(pk=prompt.project_id)
    prompt = Prompt.objects.select_for_update(no_key=True).get(pk=prompt.pk)
    answer = prompt.completions.select_for_update().get()
    if reason := why_not(prompt):
        raise Uncut(reason)
    check(answer, steps)
    mark = fingerprint([prompt.messages, steps])
    twin = prompt.project.prompts.filter(fingerprint=mark).exclude(pk=prompt.pk).first()
    if twin:
        raise Uncut(f"Prompt {twin.pk} is the same solution with these cuts.")
    Completion.objects.filter(pk=answer.pk).update(steps=steps)
    Prompt.objects.filter(pk=prompt.pk).update(fingerprint=mark)


def check(answer: Completion, steps: list[str]) -> None:
    if not steps:
        raise Uncut("There are no steps left.")
    if len(steps) > STEP_LIMIT:
        raise Uncut(f"{len(steps):,} steps; the most is {STEP_LIMIT:,}.")
    before, after = ("".join("".join(texts).split()) for texts in (answer.steps, steps))
    if before != after:
        at = next(
            (n for n, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after))
        )
        raise Uncut(
            f"Only the cuts can change here; the text differs at “{after[at : at + 30] or before[at : at + 30]}”."
        )
