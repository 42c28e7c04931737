"""Search many problems with references by several strategies, and plot accuracy against N and against tokens."""

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from django.db.models import F

from annotation.models import Project
from training import background, search, wake
from training.background import beat, claim, end
from training.models import ModelVersion, SearchEvaluation
from training.search_curves import Point, Run, Sample, pool_curve, run_point
from training.search_served import Served, Stopped
from training.search_tree import Node, Result
from training.searching import BadSearch, in_thread, resolved, samples_whole, search_one, sentence, served_for
from training.serving import ServingError
from training.verifiers import VERIFIERS

MOST = 500  # problems of one evaluation
AT_ONCE = 4  # problems searched together: the model server batches what they ask
LARGEST = 64  # N


def problems_of(project: Project, most: int) -> list[dict]:
    """Problems of the project that have a reference, each once, evenly from all over it."""
    rows = project.prompts.exclude(reference="").order_by("pk").values_list("messages", "reference")
    found = {str(messages): {"messages": messages, "reference": reference} for messages, reference in rows.iterator()}
    every = max(1, len(found) / most)
    return [list(found.values())[int(at * every)] for at in range(min(most, len(found)))]


def problems_in(lines: Iterable[str]) -> list[dict]:
    """Problems of a JSONL file: {"problem" or "question" or "messages", "reference" or "answer"} a line.

    >>> problems_in(['{"question": "2 + 2?", "answer": "4"}'])
    [{'messages': [{'role': 'user', 'content': '2 + 2?'}], 'reference': '4'}]
    """
    return [problem_in(line, at) for at, line in enumerate(lines, 1) if line.strip()]


def problem_in(line: str, at: int) -> dict:
    try:
        row = json.loads(line)
        text = next((row[name] for name in ("problem", "question", "prompt") if isinstance(row.get(name), str)), None)
    except (ValueError, AttributeError):
        raise BadSearch(f"Line {at} is not a JSON object.") from None
    messages = row.get("messages") or (text and [{"role": "user", "content": text}])
    if not isinstance(messages, list) or not all(isinstance(turn, dict) and "content" in turn for turn in messages):
        raise BadSearch(f'Line {at} has no problem: give "problem", "question" or "messages".')
    reference = next((row[name] for name in ("reference", "answer") if row.get(name) not in (None, "")), None)
    if reference is None:
        raise BadSearch(f'Line {at} has no reference answer: give "reference" or "answer".')
    return {"messages": messages, "reference": str(reference)}


def queue_evaluation(user, *what: Any, **options: Any) -> SearchEvaluation:
    """Note an evaluation, as `make_evaluation` does, and wake a worker. Raises BadSearch."""
    made = make_evaluation(user, *what, **options)
    wake.on_commit("training.tasks.evaluate_search", made.pk)
    return made


def make_evaluation(
    user,
    name: str,
    problems: Sequence[dict],
    policy: ModelVersion,
    scorer: ModelVersion | None,
    strategies: Sequence[str],
    ns: Sequence[int],
    knobs: dict[str, Any],
    project: Project | None = None,
) -> SearchEvaluation:
    """An evaluation that waits to be run. Raises BadSearch."""
    check(problems, strategies, ns)
    known = [resolved(strategy, policy, scorer, at_n(knobs, n)) for strategy in strategies for n in ns]
    return SearchEvaluation.objects.create(
        name=name, project=project, problems=list(problems), policy=policy, scorer=scorer,
        strategies=list(dict.fromkeys(strategies)), ns=sorted(set(ns)), total=len(problems), created_by=user,
        settings=known[0] | {"width": knobs.get("width")},
    )  # fmt: skip


def at_n(knobs: dict[str, Any], n: int) -> dict[str, Any]:
    """The settings at one N; no more paths are kept than there are ways.

    >>> at_n({"width": 4}, 2), at_n({"width": None}, 2)
    ({'width': 2, 'n': 2}, {'width': None, 'n': 2})
    """
    width = knobs.get("width")
    return knobs | {"width": width and min(width, n), "n": n}


def check(problems: Sequence[dict], strategies: Sequence[str], ns: Sequence[int]) -> None:
    if not problems:
        raise BadSearch("There is no problem with a reference answer to search.")
    if len(problems) > MOST:
        raise BadSearch(f"{len(problems)} problems are too many at once; {MOST} is the most.")
    if lacking := [str(at) for at, problem in enumerate(problems, 1) if not problem.get("reference")]:
        raise BadSearch(
            f"Problem {', '.join(lacking[:5])} has no reference answer; without it nobody can say what is right."
        )
    if not strategies:
        raise BadSearch("Choose at least one strategy.")
    if not ns or not all(1 <= n <= LARGEST for n in ns):
        raise BadSearch(f"N must be numbers from 1 to {LARGEST}, such as 1, 2, 4, 8, 16.")


def wake_lost() -> int:
    """Send evaluations again whose message or worker was lost."""
    return background.wake_lost(SearchEvaluation, "training.tasks.evaluate_search")


def run_evaluation(evaluation: SearchEvaluation, progress: Callable[[int, int], None] = lambda *_: None) -> None:
    """What a worker does: problem after problem. What is done stays, and a second call goes on after it.

    `progress` hears how many problems are done, of how many.
    """
    if not claim(evaluation):
        return
    SearchEvaluation.objects.filter(pk=evaluation.pk).update(done=len(evaluation.outcomes))
    status, message = "succeeded", ""
    try:
        async_to_sync(evaluated)(evaluation, progress)
    except Stopped:
        status = "cancelled"
    except ServingError as error:
        status, message = "failed", f"{sentence(error)} The problems done so far are kept."
    except Exception as fault:
        end(evaluation, "failed", background.broken(fault))
        raise
    evaluation.refresh_from_db()
    made = [point.as_json() for point in points(evaluation)] if evaluation.outcomes else None
    end(evaluation, status, message, points=made)


async def evaluated(evaluation: SearchEvaluation, progress: Callable[[int, int], None]) -> None:
    """Search what is left, some problems at once."""
    done = {outcome["problem"] for outcome in evaluation.outcomes}
    left = [at for at in range(len(evaluation.problems)) if at not in done]
    under_way = asyncio.gather(*(follow(evaluation, left[start::AT_ONCE], progress) for start in range(AT_ONCE)))
    beating = asyncio.create_task(beat(evaluation, under_way.cancel))
    try:
        await under_way
    except asyncio.CancelledError:
        raise Stopped from None
    finally:
        beating.cancel()


async def follow(evaluation: SearchEvaluation, places: Sequence[int], progress: Callable[[int, int], None]) -> None:
    for place in places:
        served = served_for(evaluation, evaluation.problems[place]["messages"])
        try:
            work = partial(in_thread, partial(outcome_of, evaluation, place, served))
            outcome = await asyncio.to_thread(work)
        except asyncio.CancelledError:
            served.stop()
            raise
        await sync_to_async(keep)(evaluation, outcome)
        progress(len(evaluation.outcomes), evaluation.total)


def keep(evaluation: SearchEvaluation, outcome: dict) -> None:
    """One writer: the worker that claimed it."""
    evaluation.outcomes.append(outcome)
    rows = SearchEvaluation.objects.filter(pk=evaluation.pk)
    rows.update(outcomes=evaluation.outcomes, done=F("done") + 1)


def outcome_of(evaluation: SearchEvaluation, place: int, served: Served) -> dict[str, Any]:
    """What one problem gives: a pool of samples for what samples whole solutions, runs for what grows steps."""
    reference, ns = evaluation.problems[place]["reference"], evaluation.ns
    whole = [name for name in evaluation.strategies if samples_whole(name)]
    outcome: dict[str, Any] = {"problem": place, "pool": [], "runs": {}}
    if whole:
        knobs = at_n(evaluation.settings, max(ns))
        strategy = "weighted" if any(search.STRATEGIES[name].needs_scorer for name in whole) else "majority"
        outcome["pool"] = pool(search_one(strategy, served, knobs, watch=lambda draw: None), reference)
    for name in (name for name in evaluation.strategies if name not in whole):
        found = {n: search_one(name, served, at_n(evaluation.settings, n), lambda draw: None) for n in ns}
        outcome["runs"][name] = {str(n): run(result, reference) for n, result in found.items()}
    return outcome


def pool(result: Result, reference: str) -> list[Sample]:
    """One Sample a solution; equal answers are spelled alike and judged once."""
    spelled = {leaf: vote.answer for vote in result.answers for leaf in vote.leaves}
    parents = {node.parent for node in result.nodes}
    leaves = [node for node in result.nodes if node.id not in parents]
    right = {vote.answer: is_right(result, vote.leaves[0], reference) for vote in result.answers}
    return [sample(leaf, spelled.get(leaf.id), right) for leaf in leaves]


def sample(leaf: Node, answer: str | None, right: dict[str, bool]) -> Sample:
    """One that was cut has no say: neither a vote nor a score."""
    score = leaf.value if leaf.state == "finished" else None
    return Sample(answer, right.get(answer, False), score, leaf.tokens)


def is_right(result: Result, leaf: int, reference: str) -> bool:
    steps = []
    while leaf:
        steps.append(result.nodes[leaf].step)
        leaf = result.nodes[leaf].parent
    return bool(VERIFIERS["math"](result.settings["separator"].join(reversed(steps)), reference))


def run(result: Result, reference: str) -> Run:
    right = result.finished and is_right(result, result.chosen[-1], reference)
    return Run(right, result.policy_tokens)


def points(evaluation: SearchEvaluation) -> list[Point]:
    """The points of every strategy, from the problems done so far."""
    found: list[Point] = []
    pools = [[Sample(*sample) for sample in outcome["pool"]] for outcome in evaluation.outcomes]
    for name in evaluation.strategies:
        if samples_whole(name):
            found += pool_curve(name, pools, evaluation.ns)
        else:
            runs = [outcome["runs"][name] for outcome in evaluation.outcomes]
            found += [run_point(name, n, [[Run(*each[str(n)])] for each in runs]) for n in evaluation.ns]
    return found
