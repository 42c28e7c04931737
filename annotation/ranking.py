"""Hand out prompts and take rankings: next, submit, draft. What the page, the API and tests all call."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import IntegrityError
from django.db.models import Q

from annotation import desk, leases
from annotation.handing import hand_out
from annotation.models import Draft, Lease, Project, Prompt, RankedCompletion, Ranking
from annotation.progress import tally
from annotation.ranks import FLAGS, Invalid, checked, key_of, letter, sketched
from annotation.slots import TooLate, take_slot
from annotation.writing import writing


@dataclass(frozen=True)
class Submitted:
    ranking: Ranking
    again: bool  # this had been submitted before; nothing changed


def next_prompt(project: Project, labeler, besides: Collection[int] = ()) -> dict[str, Any] | None:
    """The prompt to rank next as plain data, reserved for `labeler`; None when there is none (see `standstill`)."""
    handed = hand_out(project, labeler, besides)
    if handed is None:
        return None
    return {
        "key": handed.key,
        "expires": handed.expires,
        "prompt": {
            "id": handed.prompt,
            "messages": handed.messages,
            "criterion": handed.criterion,
            "criterion_description": handed.criterion_description,
        },
        "completions": [described(text, n, project.blind) for n, text in enumerate(handed.texts)],
        "draft": handed.draft,
    }


def described(completion: tuple[int, str, str], index: int, blind: bool) -> dict[str, Any]:
    pk, text, source = completion
    return {"id": pk, "letter": letter(index), "text": text} | ({} if blind else {"source": source})


def submit_held(prompt: int, slug: str, labeler, said: Mapping[str, Any], key: UUID | str | None) -> int | None:
    """Store what she says of a prompt she holds; the ranking's id, or None: `submit_ranking` then knows why."""
    held = desk.held(prompt, labeler, slug)
    if held is None:
        return None
    project, allow_ties, shown = held
    try:
        return desk.take(project, prompt, labeler, checked(said, shown, allow_ties), shown, key_of(key))
    except Invalid:
        return None


def submit_ranking(
    prompt: Prompt, labeler, said: Mapping[str, Any], key: UUID | str | None = None, source: str = "page"
) -> Submitted:
    """Store what she says of the prompt, once for each key; see `ranks.checked` for `said`.

    Raises ranks.Invalid, or TooLate when others gave the last label after her lease had expired.
    """
    key = key_of(key)
    lease = Lease.objects.filter(prompt=prompt, labeler=labeler).first()
    shown = lease.shown if lease else shown_order(prompt, said.get("shown"))
    clean = checked(said, shown, prompt.project.allow_ties)
    try:
        with writing():
            ranking = record(prompt, labeler, clean, key, shown, source)
    except IntegrityError:  # the same submit came twice at once, and the database let one in
        ranking = None
    if ranking:
        return Submitted(ranking, again=False)
    first = Ranking.objects.filter(Q(key=key) | Q(prompt=prompt), labeler=labeler).first()
    if first:
        return Submitted(first, again=True)
    save_draft(prompt, labeler, said)
    raise TooLate("Others have meanwhile given every label wanted here. Yours is kept as a draft.")


def shown_order(prompt: Prompt, claimed: Any) -> list[int]:
    """The prompt's completions in the order they were shown, when that is known."""
    own = list(prompt.completions.values_list("pk", flat=True))
    place = {str(pk): index for index, pk in enumerate(claimed if isinstance(claimed, list) else [])}
    return sorted(own, key=lambda pk: place[str(pk)]) if place.keys() == {str(pk) for pk in own} else own


def record(prompt: Prompt, labeler, clean: dict, key: UUID, shown: list[int], source: str) -> Ranking | None:
    """Turn the slot into a label; None when she has no slot and none is open, or she has ranked it already."""
    if not take_slot(prompt, labeler):
        return None
    fields = {name: clean[name] for name in ("seconds", "comment", *FLAGS)}
    ranking = Ranking.objects.create(prompt=prompt, labeler=labeler, key=key, source=source, **fields)
    ranks, ratings = clean["ranks"], clean["ratings"]
    RankedCompletion.objects.bulk_create(
        RankedCompletion(ranking=ranking, completion_id=pk, rank=ranks[pk], rating=ratings.get(pk), shown=place)
        for place, pk in enumerate(shown, 1)
    )
    Draft.objects.filter(prompt=prompt, labeler=labeler).delete()
    tally(prompt.project_id, labeler, labels=1, seconds=clean["seconds"])
    return ranking


def save_draft(prompt: Prompt, labeler, said: Mapping[str, Any]) -> Draft:
    """Keep an unfinished ranking, and what she holds reserved."""
    known = prompt.completions.values_list("pk", flat=True)
    leases.renew(prompt.project, labeler)
    return Draft.objects.update_or_create(prompt=prompt, labeler=labeler, defaults={"data": sketched(said, known)})[0]
