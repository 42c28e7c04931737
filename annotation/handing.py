"""Hand out the next prompt: in one round trip where nothing is unusual, else step by step."""

from collections.abc import Collection

from annotation import desk, leases
from annotation.models import Draft, Project


def hand_out(project: Project, labeler, besides: Collection[int] = ()) -> desk.HandedOut | None:
    """The prompt to label next, reserved for `labeler`; None when there is none (see `progress.standstill`)."""
    handed = desk.hand_out(project, labeler, besides, leases.AHEAD - 1, leases.deadline()) if besides else None
    return handed or leased(project, labeler, besides)


def leased(project: Project, labeler, besides: Collection[int]) -> desk.HandedOut | None:
    """What `desk.hand_out` gives, for every case: a prompt she holds already, the first, the last, none."""
    lease = leases.reserve(project, labeler, besides)
    if lease is None:
        return None
    prompt, criterion = lease.prompt, lease.prompt.criterion
    draft = Draft.objects.filter(prompt_id=prompt.pk, labeler=labeler).first()
    about = (criterion.name, criterion.description) if criterion else ("", "")
    texts = [(completion.pk, completion.text, completion.source) for completion in lease.completions]
    return desk.HandedOut(
        prompt.pk, prompt.messages, *about, texts, draft.data if draft else None, str(lease.key), lease.expires
    )
