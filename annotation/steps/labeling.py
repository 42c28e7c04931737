"""Hand out traces and take labels of their steps: next, submit, draft. What the page, the API and tests all call."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from django.db import IntegrityError
from django.db.models import Q

from annotation import leases
from annotation.handing import hand_out
from annotation.models import Alternative, Draft, Project, Prompt, StepLabels
from annotation.progress import tally
from annotation.ranks import Invalid, key_of
from annotation.slots import TooLate, take_slot
from annotation.steps import desk
from annotation.steps.proposals import Source, became
from annotation.steps.ratings import checked, sketched
from annotation.steps.traces import Trace, sources_of, trace_of
from annotation.writing import writing

REASONS = {"gave_up": dict(StepLabels.GAVE_UP), "bad_problem": dict(StepLabels.BAD_PROBLEM)}
SAID = ("ratings", "rewrites", "flagged", "proposed", "gave_up", "bad_problem", "seconds", "words", "comment")


@dataclass(frozen=True)
class Submitted:
    labels: StepLabels
    again: bool  # this had been submitted before; nothing changed


def next_trace(project: Project, labeler, besides: Collection[int] = ()) -> dict[str, Any] | None:
    """The trace to mark next as plain data, reserved for `labeler`; None when there is none."""
    handed = hand_out(project, labeler, besides)
    trace = handed and trace_of(handed.prompt, project.proposals)
    if trace is None:
        return None
    return {
        "key": handed.key,
        "expires": handed.expires,
        "prompt": {
            "id": handed.prompt,
            "messages": handed.messages,
            "criterion": handed.criterion,
            "criterion_description": handed.criterion_description,
            "reference": trace.reference,
        },
        "completion": {"id": trace.completion} | ({} if project.blind else {"source": trace.source}),
        "steps": [described(trace, step) for step in range(len(trace.steps))],
        "proposals": [source.pk for source in trace.sources],
        "stop_at_first_bad": project.stop_at_first_bad,
        "draft": handed.draft,
    }


def described(trace: Trace, step: int) -> dict[str, Any]:
    proposals = filter(None, (source.of(step) for source in trace.sources))
    return {
        "text": trace.steps[step],
        "proposals": [asdict(proposal) for proposal in proposals],
        "alternatives": [{"text": text, "source": who} for place, text, who in trace.alternatives if place == step],
    }


def submit_held(prompt: int, slug: str, labeler, said: Mapping[str, Any], key: UUID | str | None) -> int | None:
    """Store what she says of a trace she holds; the labels' id, or None: `submit_steps` then knows why."""
    held = desk.held(prompt, labeler, slug, numbers_in(said.get("proposals")))
    if held is None:
        return None
    try:
        clean = checked(said, held.steps, held.stop_at_first_bad, REASONS)
        clean = finished(prompt, clean, held.sources)
        return desk.take(held.project, prompt, labeler, clean, key_of(key))
    except Invalid:
        return None


def submit_steps(
    prompt: Prompt, labeler, said: Mapping[str, Any], key: UUID | str | None = None, kind: str = "page"
) -> Submitted:
    """Store what she says of the prompt's trace, once for each key; see `ratings.checked` for `said`, which may also
    have proposals: the ids of the step labels that were shown to her as proposals.

    Raises Invalid, or TooLate when others gave the last label after her lease had expired.
    """
    key, steps = key_of(key), steps_of(prompt)
    if not steps:
        raise Invalid({"steps": "This prompt has no solution to mark yet."})
    clean = checked(said, steps, prompt.project.stop_at_first_bad, REASONS)
    shown = StepLabels.objects.filter(prompt=prompt, labeler=None, pk__in=numbers_in(said.get("proposals")))
    clean = finished(prompt.pk, clean, sources_of(shown))
    try:
        with writing():
            labels = record(prompt, labeler, clean, key, kind)
    except IntegrityError:  # the same submit came twice at once, and the database let one in
        labels = None
    if labels:
        return Submitted(labels, again=False)
    first = StepLabels.objects.filter(Q(key=key) | Q(prompt=prompt), labeler=labeler).first()
    if first:
        return Submitted(first, again=True)
    save_draft(prompt, labeler, said)
    raise TooLate("Others have meanwhile given every label wanted here. Yours is kept as a draft.")


def steps_of(prompt: Prompt) -> list[str]:
    return next(filter(None, prompt.completions.values_list("steps", flat=True)), [])


def finished(prompt: int, clean: dict[str, Any], shown: Sequence[Source]) -> dict[str, Any]:
    """What `checked` gave, with what became of the proposals shown and who wrote each better step."""
    written = written_by(prompt) if clean["rewrites"] else {}
    rewrites = {
        step: {"text": text, "source": written.get((int(step), text), "")} for step, text in clean["rewrites"].items()
    }
    return clean | {"rewrites": rewrites, "proposed": became(shown, clean["ratings"])}


def numbers_in(ids: Any) -> list[int]:
    """The ids somebody sent; what cannot be one is passed over."""
    return [int(pk) for pk in map(str, ids if isinstance(ids, list) else ()) if pk.isdecimal() and len(pk) < 19]


def written_by(prompt: int) -> dict[tuple[int, str], str]:
    """(step, text) → who wrote that alternative."""
    rows = Alternative.objects.filter(completion__prompt=prompt).order_by("-pk")
    return {(step, text.strip()): who for step, text, who in rows.values_list("step", "text", "source")}


def record(prompt: Prompt, labeler, clean: dict, key: UUID, kind: str) -> StepLabels | None:
    """Turn the slot into a label; None when she has no slot and none is open, or she has marked it already."""
    if not take_slot(prompt, labeler):
        return None
    fields = {name: clean[name] for name in SAID}
    labels = StepLabels.objects.create(prompt=prompt, labeler=labeler, key=key, kind=kind, **fields)
    Draft.objects.filter(prompt=prompt, labeler=labeler).delete()
    tally(prompt.project_id, labeler, labels=1, seconds=clean["seconds"])
    return labels


def save_draft(prompt: Prompt, labeler, said: Mapping[str, Any]) -> Draft:
    """Keep unfinished marks, and what she holds reserved."""
    leases.renew(prompt.project, labeler)
    data = sketched(said, steps_of(prompt), REASONS)
    return Draft.objects.update_or_create(prompt=prompt, labeler=labeler, defaults={"data": data})[0]


def draft_of(labels: StepLabels) -> dict[str, Any]:
    """The labels as the draft they once were."""
    said = {name: getattr(labels, name) for name in SAID}
    said["rewrites"] = {step: rewrite["text"] for step, rewrite in labels.rewrites.items()}
    return sketched(said, steps_of(labels.prompt), REASONS)
