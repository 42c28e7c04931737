"""Search a problem, or many: studio search MODEL "problem" --scorer PRM --strategy beam --n 16."""

from collections import Counter
from pathlib import Path

from django.core.management.base import CommandError

from studio.commands import Verb, acting_user, model_named, project_named
from training import search_evaluating, searching
from training.models import SearchEvaluation, SearchRun
from training.search import STRATEGIES
from training.search_curves import Point
from training.search_tree import Result
from training.searching import KNOBS, BadSearch

NUMBERS = {"width": int, "depth": int, "ahead": int, "max_tokens": int, "step_tokens": int, "budget": int, "seed": int}
NUMBERS |= {"temperature": float, "top_p": float}


class Command(Verb):
    help = __doc__

    def arguments(self, parser) -> None:
        parser.add_argument("policy", help="the model that writes the steps")
        parser.add_argument("problem", nargs="?")
        parser.add_argument("--scorer", help="the reward model that judges them")
        parser.add_argument("--reference", default="", help="the right answer of the problem")
        parser.add_argument("--project", help="search problems of this project that have a reference instead")
        parser.add_argument("--file", type=Path, help="or those of a JSONL file: problem and reference a line")
        parser.add_argument("--count", type=int, default=40, help="how many problems of the project")
        parser.add_argument("--strategies", "--strategy", default="best_of_n", help=f"of {', '.join(STRATEGIES)}")
        parser.add_argument("--n", default="8", help="solutions, or ways on a level; several with commas: 1,2,4,8")
        parser.add_argument("--aggregate", help="a path is worth its min, prod or last step")
        parser.add_argument("--separator", help="what stands between steps; \\n\\n unless given")
        for name, kind in NUMBERS.items():
            parser.add_argument(f"--{name.replace('_', '-')}", type=kind, help=f"{KNOBS[name]} unless given")

    def handle(self, policy: str, problem: str | None, **options) -> None:
        models = [model_named(policy), options["scorer"] and model_named(options["scorer"])]
        knobs = {name: options[name] for name in (*NUMBERS, "aggregate") if options[name] is not None}
        if options["separator"]:
            knobs["separator"] = options["separator"].encode().decode("unicode_escape")
        strategies, user = options["strategies"].split(","), acting_user(options["user"])
        try:
            ns = [int(n) for n in options["n"].split(",")]
            if options["project"] or options["file"]:
                return self.evaluate(user, models, strategies, ns, knobs, options)
            if not problem:
                raise CommandError("Give a problem, or --project, or --file.")
            if len(strategies) > 1 or len(ns) > 1:
                raise CommandError("One problem is searched by one strategy at one N.")
            turn = [{"role": "user", "content": problem}]
            run = searching.make_search(user, turn, *models, strategies[0], knobs | {"n": ns[0]}, options["reference"])
        except ValueError as error:  # BadSearch is one
            raise CommandError(str(error)) from error
        self.search(run)

    def search(self, run: SearchRun) -> None:
        searching.run_search(run)
        run.refresh_from_db()
        if run.status == "failed":
            raise CommandError(run.message)
        result = Result.from_json(run.result)
        self.emit(summary(run, result), told(run, result))

    def evaluate(self, user, models, strategies, ns, knobs, options) -> None:
        project = project_named(options["project"]) if options["project"] else None
        problems = problems_from(project, options["file"], options["count"])
        name = f"{len(problems)} problems of {project or options['file'].name}"
        made = search_evaluating.make_evaluation(user, name, problems, *models, strategies, ns, knobs, project)
        search_evaluating.run_evaluation(made, lambda done, total: self.say(f"  {done}/{total}"))
        made.refresh_from_db()
        if made.status == "failed":
            raise CommandError(made.message)
        self.emit({"id": made.pk, "status": made.status, "points": made.points}, table(made))


def problems_from(project, file: Path | None, count: int) -> list[dict]:
    """Raises BadSearch."""
    if project:
        return search_evaluating.problems_of(project, count)
    try:
        return search_evaluating.problems_in(file.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise BadSearch(f"{file} cannot be read: {error}.") from error


def summary(run: SearchRun, result: Result) -> dict:
    states = Counter(node.state for node in result.nodes[1:])
    whole = result.as_json()
    keys = ("strategy", "answer", "answers", "right", "policy_tokens", "scorer_tokens", "stopped")
    known = {key: whole[key] for key in keys}
    return {"id": run.pk, "status": run.status, "message": run.message, "steps": result.steps, "nodes": states} | known


def told(run: SearchRun, result: Result) -> str:
    """The chosen solution, the votes, and what they cost."""
    judged = {True: " It is right.", False: " It is wrong.", None: ""}[result.right]
    votes = [f"  {vote.votes} × {vote.answer} (weight {vote.weight:.2f})" for vote in result.answers]
    states = Counter(node.state for node in result.nodes[1:])
    grown = ", ".join(f"{count} {state}" for state, count in states.items()) or "nothing"
    spent = f"{result.policy_tokens} tokens written, {result.scorer_tokens} judged"
    parts = [*result.steps, f"Answer: {result.answer}.{judged}", *votes, f"Steps: {grown}. {spent}.", run.message]
    return "\n".join([*filter(None, parts), f"Its tree: {run.get_absolute_url()}"])


def table(evaluation: SearchEvaluation) -> str:
    """One line a point: accuracy with its interval, tokens."""
    lines = [f"{'strategy':<28}{'N':>4}  accuracy   95 % interval   tokens a problem"]
    for point in (Point(**point) for point in evaluation.points or []):
        name, interval = STRATEGIES[point.strategy].name, f"[{100 * point.low:.1f}–{100 * point.high:.1f}]"
        lines.append(f"{name:<28}{point.n:>4}  {100 * point.accuracy:>6.1f} %   {interval:<13}   {point.tokens:>10.0f}")
    return "\n".join([*lines, f"Its plots: {evaluation.get_absolute_url()}"])
