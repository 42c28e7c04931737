"""Let two policies answer the same prompts and a reward model say which answer it prefers."""

import asyncio
from collections.abc import Callable, Sequence

from training import serving
from training.evaluation import Share, win_rate
from training.models import ModelVersion

AT_ONCE = 16  # conversations in flight: the model server batches what waits


async def scored(policy: ModelVersion, scorer: ModelVersion, messages: list[dict], **sampling) -> list[float]:
    """The scorer's reward of each of the policy's answers to one prompt."""
    answers = await serving.chat(policy, messages, **sampling)
    return await serving.score(scorer, [[*messages, {"role": "assistant", "content": a["text"]}] for a in answers])


async def play(
    ours: ModelVersion,
    theirs: ModelVersion,
    scorer: ModelVersion,
    prompts: Sequence[list[dict]],
    progress: Callable[[int, int], None],
    **sampling,
) -> Share:
    """Our win rate over theirs on `prompts` (chats), `n` answers each, by the scorer's rewards."""
    room, done = asyncio.Semaphore(AT_ONCE), 0

    async def one(messages: list[dict]) -> list[tuple[float, float]]:
        nonlocal done
        async with room:
            pairs = [await scored(policy, scorer, messages, **sampling) for policy in (ours, theirs)]
        done += 1
        progress(done, len(prompts))
        return list(zip(*pairs, strict=True))

    return win_rate(await asyncio.gather(*(one(messages) for messages in prompts)))
