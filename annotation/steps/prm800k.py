"""PRM800K: a line is one labeler's pass over a solution, with several rated completions of a step. Pure."""

from collections.abc import Iterator
from itertools import count
from typing import Any

from annotation.importing.cells import BadRow, Completion, as_prompt, as_text, kind_of, unpacked
from annotation.importing.items import Item, Said, Trace, columns
from annotation.steps.marks import as_steps, rating

HUMAN = "human"


def read(row: dict, mapping: dict) -> Iterator[Item]:
    """The path the labeler went: at each step what was chosen, else what a person wrote, else the first completion.

    The other completions stay with their ratings beside the step; a step without any ends the path (it was given up).
    """
    question, label = (unpacked(row.get(name)) for name in ("question", "label"))
    for name, value in (("question", question), ("label", label)):
        if not isinstance(value, dict):
            raise BadRow(f"{name} is {kind_of(value)}; in PRM800K it is an object")
    path = list(filter(None, map(step_of, listed(label), count(1))))
    labeled, before = as_steps([step["text"] for step in path], "label.steps"), question.get("pre_generated_steps")
    whole = isinstance(before, list) and before[: len(labeled)] == labeled
    said = said_of(row, label, path)
    trace = Trace(as_steps(before) if whole else labeled, [said], others(said))
    facts = columns(row, mapping)
    facts |= known(question, facts.get("metadata", {}))
    yield Item(as_prompt(question.get("problem")), [Completion("\n\n".join(trace.steps))], trace=trace, **facts)


def listed(label: dict) -> list:
    if not isinstance(label.get("steps"), list):
        raise BadRow(f"label.steps is {kind_of(label.get('steps'))}; in PRM800K it is a list")
    return label["steps"]


def step_of(step: Any, number: int) -> dict | None:
    """A step as its text, rating and flag on the path, with the other completions; None where there is no text."""
    if not isinstance(step, dict):
        raise BadRow(f"step {number} is {kind_of(step)}; in PRM800K it is an object")
    rated = [completion_of(one, number) for one in step.get("completions") or []]
    human, chosen = step.get("human_completion"), step.get("chosen_completion")
    human = completion_of(human, number) if isinstance(human, dict) else None
    if chosen is not None and not (type(chosen) is int and 0 <= chosen < len(rated)):
        raise BadRow(f"step {number} chose completion {chosen!r:.20}; it has {len(rated)}")
    if chosen is None and human:
        return human | {"human": human["text"], "others": rated}
    if not rated:
        return None
    taken = rated.pop(chosen or 0)
    return taken | {"human": human and human["text"], "others": rated}


def completion_of(one: Any, number: int) -> dict:
    if not isinstance(one, dict):
        raise BadRow(f"a completion of step {number} is {kind_of(one)}; in PRM800K it is an object")
    text = as_text(one.get("text"), f"a completion of step {number}")
    return {"text": text, "rating": rating(one.get("rating"), number), "flagged": one.get("flagged") is True}


def said_of(row: dict, label: dict, path: list[dict]) -> Said:
    others = {str(n): [{k: o[k] for k in ("text", "rating")} for o in s["others"]] for n, s in enumerate(path)}
    why, spent, labeler = label.get("finish_reason"), label.get("total_time"), row.get("labeler")
    return Said(
        [step["rating"] for step in path],
        source=f":{labeler}" if labeler else "",
        rewrites={str(n): {"text": s["human"], "source": HUMAN} for n, s in enumerate(path) if s["human"]},
        alternatives={number: texts for number, texts in others.items() if texts},
        flagged=[number for number, step in enumerate(path) if step["flagged"]],
        gave_up="other" if why == "give_up" else "",
        bad_problem="other" if why == "bad_problem" else "",
        seconds=spent / 1000 if isinstance(spent, (int, float)) and 0 <= spent < 1e12 else 0.0,
    )


def others(said: Said) -> list[tuple[int, str, str]]:
    """The other completions, for labelers to choose from."""
    return [(int(number), one["text"], "") for number, texts in said.alternatives.items() for one in texts]


def known(question: dict, metadata: dict) -> dict[str, Any]:
    answer, solution = question.get("ground_truth_answer"), question.get("ground_truth_solution")
    facts: dict[str, Any] = {"reference": str(answer)} if answer not in (None, "") else {}
    return facts | ({"metadata": metadata | {"solution": solution}} if solution else {})


def write(problem: str, steps: list[str], said: Said, reference: str = "", labeler: str = "") -> dict:
    """One source's labels as a line of PRM800K; `read` gives the same labels again."""
    labeled = [step_json(number, text, said) for number, text in enumerate(steps[: len(said.ratings)])]
    bad_end = bool(said.ratings) and said.ratings[-1] == -1
    why = "give_up" if said.gave_up else "bad_problem" if said.bad_problem else "found_error" if bad_end else "solution"
    question = {"problem": problem, "ground_truth_answer": reference or None}
    if len(labeled) < len(steps):
        question["pre_generated_steps"] = steps
    label = {"steps": labeled, "total_time": round(said.seconds * 1000), "finish_reason": why}
    return {"labeler": labeler, "question": question, "label": label}


def step_json(number: int, text: str, said: Said) -> dict:
    human = said.rewrites.get(str(number), {}).get("text")
    others = [{**one, "flagged": False} for one in said.alternatives.get(str(number), [])]
    mark, flagged = said.ratings[number], number in said.flagged
    written = {"text": human, "rating": None, "source": HUMAN, "flagged": False} if human else None
    if human == text:  # the path goes on with what the labeler wrote
        written |= {"rating": mark, "flagged": flagged}
        return {"completions": others, "human_completion": written, "chosen_completion": None}
    first = {"text": text, "rating": mark, "flagged": flagged}
    return {"completions": [first, *others], "human_completion": written, "chosen_completion": 0}
