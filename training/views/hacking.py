"""The reward-hacking watch on a run's page: its reward and its gold against √KL, and what else gives hacking away."""

from functools import partial
from statistics import fmean
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.functional import SimpleLazyObject

from training import metrics
from training.curves import Curve
from training.hacking import READ, Evaluation, in_words
from training.hacking_plot import distance, fitted, plot
from training.models import TrainingJob
from training.views.curves import visible
from training.views.rollouts import draws
from training.votes import against_base

FEW = 3  # log lines in a mean of the entropy
FORMS = {"best_of_n": "best_of_n"}  # of the curve, by recipe; all others learn by reinforcement


def job_hacking(request: HttpRequest, pk: int) -> HttpResponse:
    """The panel alone, for a page on which evaluations come in; nothing where it shows them all."""
    run = get_object_or_404(visible(request.user), pk=pk)
    if not request.htmx:
        return redirect(f"{run.get_absolute_url()}#hacking")
    context = {"job": run} | watched(run, request.user)
    if request.GET.get("seen") == context["hacking"]["seen"] and not run.ended:
        return HttpResponse(status=204)
    return render(
        request, "training/job_hacking.html#now" if "seen" in request.GET else "training/job_hacking.html", context
    )


def watched(run: TrainingJob, user: Any) -> dict[str, Any]:
    """What the panel shows of a run; `evaluations` is empty where none has a reward and a KL."""
    known = {"eval_reward", "eval_kl"} <= run.latest.keys()
    curves = metrics.snapshot(run).curves if known else {}
    evaluations = evaluations_of(curves)
    found: dict[str, Any] = {"evaluations": evaluations, "awaited": draws(run) and not run.ended, "seen": ""}
    if not evaluations:
        return {"hacking": found}
    form, best = FORMS.get(run.recipe, "rl"), best_by_gold(run, evaluations)
    reward, gold = (fitted(evaluations, what, form) for what in ("reward", "gold"))
    found |= {
        "seen": f"{len(evaluations)}-{evaluations[-1].step}",
        "now": evaluations[-1], "distance": distance(evaluations[-1]), "best": best,
        "reward": reward, "gold": gold, "has_gold": any(one.gold is not None for one in evaluations),
        "plot": plot(evaluations, reward.curve, gold.curve, best and best["step"], best["label"] if best else ""),
        "length": in_words(evaluations[-1].length_correlation, "longer", "shorter"),
        "repetition": in_words(evaluations[-1].repetition_correlation, "more repetitive", "less repetitive"),
        "entropy": entropy(curves),
        "votes": run.model and run.model.makes == "policy" and SimpleLazyObject(partial(against_base, run, user)),
    }  # fmt: skip
    return {"hacking": found}


def evaluations_of(curves: dict[str, Curve]) -> list[Evaluation]:
    """In the order of steps, those that say a reward and a KL."""
    by_step: dict[int, dict[str, float]] = {}
    for name in ("eval_reward", *READ.values()):
        for step, _, value in curves[name].points() if name in curves else ():
            by_step.setdefault(step, {})[name] = value
    found = (Evaluation.of(step, values) for step, values in sorted(by_step.items()))
    return [one for one in found if one and one.kl is not None]


def best_by_gold(run: TrainingJob, evaluations: list[Evaluation]) -> dict[str, Any] | None:
    """The step with the best gold, and whether its model is the one that was kept, by what the run's result says."""
    said = (run.result or {}).get("gold")
    if isinstance(said, dict) and isinstance(said.get("step"), int):
        step, label = said["step"], "kept" if said.get("kept") else "the best, not kept"
    else:
        golds = {one.step: one.gold for one in evaluations if one.gold is not None}
        if not golds:
            return None
        step, label = max(golds, key=golds.__getitem__), "the best" if run.ended else "best so far"
    at = next((one for one in evaluations if one.step == step), None)
    return {"step": step, "label": label, "at": at} if at else None


def entropy(curves: dict[str, Curve]) -> dict[str, float] | None:
    """Where it began, where it is, and what share of it is left; nats a token."""
    points = [value for _, _, value in curves["entropy"].points()] if "entropy" in curves else []
    if len(points) < FEW:
        return None
    start, now = fmean(points[:FEW]), fmean(points[-FEW:])
    return {"start": start, "now": now, "share": now / start if start > 0 else None}
