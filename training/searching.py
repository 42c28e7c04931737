"""Search a problem in the background with models that are served: progress, the tree so far, a clear outcome."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any

from asgiref.sync import async_to_sync
from django.db import connection

from training import background, search, wake
from training.background import beat, claim, end
from training.models import ModelVersion, SearchRun, Strategy
from training.search_draw import Draw, Settings
from training.search_served import Served, Stopped
from training.search_tree import Result
from training.serving import ServingError
from training.verifiers import VERIFIERS

SAMPLING = {"temperature": 0.8, "top_p": 1.0}
KNOBS = {field.name: field.default for field in fields(Settings)} | SAMPLING
PUBLISH = 1.0  # seconds between two versions of a tree that grows


class BadSearch(ValueError):
    """This cannot be searched so; the message names what to change."""


def resolved(strategy: str, policy: ModelVersion, scorer: ModelVersion | None, knobs: dict[str, Any]) -> dict[str, Any]:
    """Every setting with its value. Raises BadSearch."""
    if policy.makes != "policy":
        raise BadSearch(f"{policy} is a {policy.get_makes_display().lower()}; it writes no steps.")
    if scorer is not None and scorer.makes == "policy":
        raise BadSearch(f"{scorer} is a policy; steps are judged by a process, outcome or other reward model.")
    if unknown := set(knobs) - set(KNOBS):
        raise BadSearch(f"{', '.join(sorted(unknown))}: no such setting; there are {', '.join(KNOBS)}.")
    known = KNOBS | {name: value for name, value in knobs.items() if value is not None}
    try:
        settings_in(known)
        way = search.known(strategy)
    except (TypeError, ValueError) as error:
        raise BadSearch(str(error)) from error
    if way.needs_scorer and scorer is None:
        raise BadSearch(f"{way.name.capitalize()} needs a scorer: a process, outcome or other reward model.")
    return known


def settings_in(knobs: dict[str, Any]) -> Settings:
    return Settings(**{name: value for name, value in knobs.items() if name not in SAMPLING})


def queue_search(
    user,
    messages: list[dict],
    policy: ModelVersion,
    scorer: ModelVersion | None,
    strategy: str,
    knobs: dict[str, Any],
    reference: str = "",
) -> SearchRun:
    """Note a search and wake a worker. Raises BadSearch."""
    made = make_search(user, messages, policy, scorer, strategy, knobs, reference)
    wake.on_commit("training.tasks.search", made.pk)
    return made


def make_search(
    user,
    messages: list[dict],
    policy: ModelVersion,
    scorer: ModelVersion | None,
    strategy: str,
    knobs: dict[str, Any],
    reference: str = "",
) -> SearchRun:
    """A search that waits to be run. Raises BadSearch."""
    if not messages or not messages[-1]["content"].strip():
        raise BadSearch("Write the problem to search.")
    known = resolved(strategy, policy, scorer, knobs)
    return SearchRun.objects.create(
        messages=messages, reference=reference, policy=policy, scorer=scorer, strategy=strategy, settings=known,
        total=goal(strategy, known), created_by=user,
    )  # fmt: skip


def goal(strategy: str, knobs: dict[str, Any]) -> int:
    """What progress counts up to: tokens of a budget, else solutions, or steps of the deepest path allowed."""
    return knobs["budget"] or knobs["n" if samples_whole(strategy) else "depth"]


def samples_whole(strategy: str) -> bool:
    return search.STRATEGIES[strategy].grow is search.sample


def unit(run: SearchRun) -> str:
    if run.settings.get("budget"):
        return "tokens"
    return "solutions" if samples_whole(run.strategy) else "steps deep, at most"


def how_far(run: SearchRun, served: Served) -> int:
    if run.settings["budget"]:
        return served.tokens
    return served.ways if samples_whole(run.strategy) else served.level


def wake_lost() -> int:
    """Send searches again whose message or worker was lost."""
    return background.wake_lost(SearchRun, "training.tasks.search")


def run_search(run: SearchRun) -> None:
    """What a worker does. Whatever ends it, the tree grown so far is kept."""
    if not claim(run):
        return
    publisher, status, message = Publisher(run), "succeeded", ""
    try:
        result = async_to_sync(searched)(run, publisher)
        message = outcome(result)
    except Stopped:
        status, result = "cancelled", publisher.rest()
    except ServingError as error:
        status, result = "failed", publisher.rest()
        message = sentence(error) + (" The tree so far is kept." if result else "")
    except Exception as fault:
        end(run, "failed", background.broken(fault))
        raise
    if result and run.reference and result.steps:
        result.right = judge(result, run.reference)
    done = {"done": run.total} if status == "succeeded" else {}
    end(run, status, message, result=result and result.as_json(), **done)


def sentence(error: Exception) -> str:
    """Its words, with a full stop."""
    return f"{str(error).rstrip('. ')}."


class Publisher:
    """Hears of every call of a search and keeps its tree where the page sees it grow."""

    def __init__(self, run: SearchRun):
        self.run, self.draw, self.told = run, None, 0.0

    def __call__(self, draw: Draw) -> None:
        self.draw = draw
        if time.monotonic() - self.told >= PUBLISH:
            self.told = time.monotonic()
            so_far = unfinished(self.run, draw).as_json()
            SearchRun.objects.filter(pk=self.run.pk, status="running").update(result=so_far)

    def rest(self) -> Result | None:
        """What there is of a search that came to no end: its best path, if there is any."""
        if self.draw is None:
            return None
        pick = self.draw.settings.pick or search.STRATEGIES[self.run.strategy].pick
        return search.conclude(self.run.strategy, self.draw, [], pick)


def unfinished(run: SearchRun, draw: Draw) -> Result:
    spent = (draw.policy_tokens, draw.scorer_tokens)
    return Result(run.strategy, run.settings, draw.tree.nodes, [], None, [], *spent)


async def searched(run: SearchRun, watch: Callable[[Draw], None]) -> Result:
    served = served_for(run, run.messages)
    beating = asyncio.create_task(beat(run, served.stop, lambda: {"done": how_far(run, served)}))
    try:
        return await asyncio.to_thread(in_thread, partial(search_one, run.strategy, served, run.settings, watch))
    finally:
        beating.cancel()


def served_for(run: Any, messages: list[dict]) -> Served:
    """The models of a search or an evaluation, asked about one problem."""
    sampling = {name: run.settings[name] for name in SAMPLING}
    loop = asyncio.get_running_loop()
    return Served(messages, run.policy, run.scorer, sampling, run.settings["separator"], loop)


def search_one(strategy: str, served: Served, knobs: dict[str, Any], watch: Callable[[Draw], None]) -> Result:
    scorer = served.scorer if served.scorer_model else None
    return search.search(strategy, served.policy, scorer, settings_in(knobs), watch=watch)


def in_thread(work: Callable[[], Result]) -> Result:
    """Call it in a thread of its own, whose database connection ends with it."""
    try:
        return work()
    finally:
        connection.close()


def judge(result: Result, reference: str) -> bool | None:
    """Whether the chosen solution reaches the reference answer; None where that cannot be said."""
    text = result.settings["separator"].join(result.steps)
    return VERIFIERS["math"](text, reference) if result.finished else False


def outcome(result: Result) -> str:
    """What to know of how a search ended; nothing when it ended well."""
    budget, depth, most = (result.settings[name] for name in ("budget", "depth", "max_tokens"))
    said = {
        "": "",
        "budget": f"It stopped at its budget of {budget} tokens.",
        "depth": f"It stopped {depth} steps deep, with paths that had not finished.",
    }[result.stopped]
    if not result.steps:
        said += " The policy wrote nothing."
    elif not result.finished:
        said += f" No path came to its own end within {most} tokens: the best of those that were cut is shown."
    elif not result.answers:
        said += " No finished path states an answer, so none could be voted for."
    return said.strip()


def how(strategy: str, n: int) -> str:
    """
    >>> how("weighted", 16), how("beam", 16)
    ('weighted best of 16', 'beam search, N 16')
    """
    plain = search.STRATEGIES[strategy].name
    return plain.replace("of N", f"of {n}") if "of N" in plain else f"{plain}, N {n}"


def name_of(strategy: str, policy: ModelVersion, scorer: ModelVersion | None, knobs: dict[str, Any]) -> str:
    """What people call a way to search: “SmolLM2 v1 · best of 8 by PRM v2”."""
    return f"{policy} · {how(strategy, knobs['n'])}" + (f" by {scorer}" if scorer else "")


def offer(run: SearchRun, user) -> Strategy:
    """Keep how this search was made as a strategy of the user's, to be asked on the comparison page."""
    name = name_of(run.strategy, run.policy, run.scorer, run.settings)[:200]
    fields = {"policy": run.policy, "scorer": run.scorer, "strategy": run.strategy, "settings": run.settings}
    return Strategy.objects.update_or_create(created_by=user, name=name, defaults=fields)[0]
