"""Answer a column of a comparison by a search: its progress as it runs, then the chosen solution."""

import asyncio
from collections.abc import AsyncIterator
from random import randrange

from asgiref.sync import sync_to_async

from training import background, searching
from training.models import Answer, SearchRun
from training.search_tree import Result
from training.serving import ServingError

LOOK = 0.5  # seconds between two looks at how far it is


async def pieces(row: Answer, again: bool = False) -> AsyncIterator[dict]:
    """{"progress"} while it runs, then {"text"} and {"finish_reason", "usage"}. Raises ServingError.

    The search goes on without its reader; a page that comes back finds it where it is.
    """
    run = await sync_to_async(search_for)(row, again)
    while not run.ended:
        yield {"progress": progress(run, row.comparison.blind)}
        await asyncio.sleep(LOOK)
        run = await SearchRun.objects.aget(pk=run.pk)
    result = Result.from_json(run.result) if run.result else None
    if run.status == "failed" or result is None or not result.steps:
        raise ServingError(run.message or "The search ended before a step was written.")
    yield {"text": run.settings["separator"].join(result.steps)}
    ends = "stopped" if run.status == "cancelled" else "stop" if result.finished else "length"
    yield {"finish_reason": ends, "usage": {"completion_tokens": result.policy_tokens}}


def search_for(row: Answer, again: bool) -> SearchRun:
    """The search under way for this column, else a new one, as another answer has another seed."""
    if row.search and not again and (not row.search.ended or row.search.status == "succeeded"):
        return row.search
    way, seed = row.strategy, row.comparison.sampling.get("seed")
    seed = randrange(2**31) if again or seed is None else seed
    made = (row.comparison.messages, way.policy, way.scorer, way.strategy, way.settings | {"seed": seed})
    try:
        row.search = searching.queue_search(row.comparison.created_by, *made)
    except searching.BadSearch as error:
        raise ServingError(str(error)) from error
    row.save(update_fields=["search"])
    return row.search


def progress(run: SearchRun, blind: bool) -> str:
    """How far it is; nothing that tells a search from a slow model when names are hidden."""
    if blind:
        return "…"
    if run.status == "queued":
        return "Waiting for a worker…"
    return f"Searching: {run.done:,} of {run.total:,} {searching.unit(run)}…"


def stop(row: Answer) -> None:
    """End the search behind an answer; its best path so far becomes the answer."""
    if row.search:
        background.cancel(row.search)
