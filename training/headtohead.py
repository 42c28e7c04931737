"""Let two policies answer the same prompts and a reward model say which answer it prefers."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from training import serving
from training.evaluation import Share, win_rate
from training.models import ModelVersion

AT_ONCE = 16  # requests in flight: the model server batches those of one model, so models take turns


async def play(
    ours: ModelVersion,
    theirs: ModelVersion,
    scorer: ModelVersion,
    prompts: Sequence[list[dict]],
    progress: Callable[[int, int], None],
    **sampling,
) -> Share:
    """Our win rate over theirs on `prompts` (chats), `n` answers each, by the scorer's rewards.

    `progress` hears how many of 4 · len(prompts) requests are done. Raises ServingError.
    """
    done = 0

    async def counted(request: Awaitable) -> Any:
        nonlocal done
        result = await request
        done += 1
        progress(done, 4 * len(prompts))
        return result

    rewards = []
    for policy in (ours, theirs):
        answers = await at_once(counted(serving.chat(policy, messages, **sampling)) for messages in prompts)
        chats = [
            [[*messages, {"role": "assistant", "content": answer["text"]}] for answer in given]
            for messages, given in zip(prompts, answers, strict=True)
        ]
        rewards.append(await at_once(counted(serving.score(scorer, chat)) for chat in chats))
    return win_rate([list(zip(*pair, strict=True)) for pair in zip(*rewards, strict=True)])


async def at_once(requests: Iterable[Awaitable]) -> list:
    """Their results in order, AT_ONCE of them under way."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(request: Awaitable) -> Any:
        async with room:
            return await request

    return await asyncio.gather(*(one(request) for request in requests))
