"""Stream one answer of a comparison to its page and keep what was said, even when the page goes away."""

import asyncio
import time
from collections.abc import AsyncIterator

from asgiref.sync import sync_to_async

from annotation.templatetags.text import markdown
from training import answering_by_search, serving
from training.models import Answer

SILENT = "The model ended its answer without a word. Retry it, or ask with other settings."


async def answer(row: Answer, again: bool = False) -> AsyncIterator[dict]:
    """Events for the page: {"text"} or {"progress"}, then {"done", "html", …}, then {"score"}; or {"error"}."""
    comparison = row.comparison
    if row.text and not again:
        yield finished(row)
        return
    row.text, row.error, row.score, row.finish_reason = "", "", None, "stopped"
    seed = comparison.sampling.get("seed")
    sampling = comparison.sampling | ({"seed": seed + 1 + int(time.time()) % 100_000} if again and seed else {})
    begun = time.monotonic()
    try:
        async for piece in pieces_of(row, again, sampling):
            if "text" in piece or "progress" in piece:
                row.text += piece.get("text", "")
                yield piece
            else:
                row.finish_reason = piece["finish_reason"] or "stop"
                row.tokens = (piece["usage"] or {}).get("completion_tokens")
                row.error = "" if row.text else SILENT
    except serving.ServingError as error:
        row.error = str(error)
    finally:  # the reader may have pressed Stop or left: what was said so far stays
        row.seconds = time.monotonic() - begun
        await asyncio.shield(asyncio.ensure_future(keep(row)))
    yield finished(row)
    if comparison.scorer and row.text:
        yield await scored(row)


def pieces_of(row: Answer, again: bool, sampling: dict) -> AsyncIterator[dict]:
    """What the model writes as it writes it, or what a search with it finds."""
    if row.strategy_id:
        return answering_by_search.pieces(row, again)
    return serving.stream(row.model, row.comparison.messages, **sampling)


async def keep(row: Answer) -> None:
    fields = ["text", "tokens", "seconds", "finish_reason", "error", "score"]
    await sync_to_async(row.save)(update_fields=fields)


async def scored(row: Answer) -> dict:
    """The reward model's score of the whole conversation, or why there is none."""
    conversation = [*row.comparison.messages, {"role": "assistant", "content": row.text}]
    try:
        row.score = (await serving.score(row.comparison.scorer, [conversation]))[0]
    except serving.ServingError as error:
        return {"score": None, "why": str(error)}
    await keep(row)
    return {"score": row.score}


def finished(row: Answer) -> dict:
    return {
        "done": True,
        "html": markdown(row.text),
        "tokens": row.tokens,
        "seconds": row.seconds,
        "finish_reason": row.finish_reason,
        "error": row.error,
        "score": row.score,
    }
