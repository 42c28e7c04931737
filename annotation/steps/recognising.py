"""Which shape of traces a file has, by its columns and first rows; and rows that are for the other kind of project."""

from typing import Any

from annotation.importing.cells import unpacked
from annotation.steps.lines import is_ours

# field → names it goes by in the wild, best first
STEP_NAMES = {
    "prompt": ("prompt", "problem", "question", "instruction", "messages", "query", "input", "text"),
    "steps": ("steps", "model_steps"),
    "completions": ("completions", "completion"),
    "labels": ("labels", "ratings", "step_labels", "label", "rating"),
    "mistake": ("mistake_index", "first_error", "first_error_index", "label"),
    "correct": ("correct", "is_correct", "final_answer_correct", "label"),
    "solution": ("solutions", "solution", "completion", "completions", "response", "responses", "generation")
    + ("generations", "outputs", "output", "model_output", "candidates", "answers"),
    "source": ("source", "generator", "model", "model_name"),
    "reference": ("reference", "target", "ground_truth", "ground_truth_answer", "final_answer", "gold", "answer"),
    "criterion": ("criterion", "category", "subject"),
    "metadata": ("metadata",),
    "id": ("id", "prompt_id", "question_id", "unique_id", "idx", "uuid", "task_id"),
}


def step_shape_of(found: dict[str, Any], rows: list[dict]) -> str:
    """The shape of the rows; `found` loses the fields whose values show that their names mean something else."""
    first = {name: unpacked(value) for row in rows[:20] for name, value in row.items() if value is not None}
    if isinstance(first.get("question"), dict) and isinstance(first.get("label"), dict):
        return "prm800k"
    if isinstance(first.get("reasoning_steps"), (list, dict)) and "question" in first:
        return "value_tree"
    if " ки" in str(first.get("input", "")) and isinstance(first.get("label"), str):
        return "math_shepherd"
    fit(found, first)
    if "prompt" not in found:
        return ""
    if "steps" in found:
        return "traces"
    if "completions" in found and "labels" in found:
        return "stepwise"
    if "completions" in found and "correct" in found and isinstance(first.get(found["completions"]), list):
        return "outcome"
    worked = found.get("solution") == "solution" and "reference" in found  # as in MATH-500
    return "solutions" if "solution" in found and not worked else "problems"


def fit(found: dict[str, Any], first: dict[str, Any]) -> None:
    """`label` says little: a list of labels, the index of a first mistake or an outcome is told by its value."""
    value = first.get("label")
    kinds = {"labels": list, "mistake": (int, float), "correct": bool}
    for field, types in kinds.items():
        fits = isinstance(value, types) and (field == "correct" or not isinstance(value, bool))
        if found.get(field) == "label" and not fits and not (value is None and field == "mistake"):
            del found[field]


def options_of(mapping: dict[str, Any], rows: list[dict]) -> dict[str, str]:
    """How labels are meant, guessed from the first rows: ratings where one is −1, or the column is called so."""
    column = mapping.get("labels")
    if not column or any(map(is_ours, rows[:1])):
        return {}
    values = [unpacked(row.get(column)) for row in rows]
    below = any(label == -1 for value in values if isinstance(value, list) for label in value)
    return {"scale": "ratings" if below or "rating" in column.lower() else "shares"}


def foreign(rows: list[Any], kind: str) -> str:
    """Why rows belong in a project of the other kind; '' when they do not show it."""
    rows = [row for row in rows if isinstance(row, dict)][:20]
    names = {name for row in rows for name, value in row.items() if value is not None}
    if kind == "steps":
        what = ranked(rows, names)
        return what and f"These rows are {what}; this project marks steps. Import them into a project of kind ranking."
    found = {field: name for field, known in STEP_NAMES.items() if (name := next((n for n in known if n in names), ""))}
    shape = step_shape_of(found, rows)
    if shape == "stepwise":  # a list of labels may stand for something else there, but not one of true and false
        labels = [label for row in rows for label in unpacked(row.get(found["labels"])) or []]
        shape = shape if any(isinstance(label, (bool, float)) for label in labels) else ""
    if shape not in ("prm800k", "value_tree", "math_shepherd", "traces", "stepwise"):
        return ""
    return (
        "These rows are solutions in steps; this project ranks completions. Import them into a project of kind steps."
    )


def ranked(rows: list[dict], names: set[str]) -> str:
    """What the rows are when they say which of several completions is better; '' when they do not."""
    if {"chosen", "rejected"} <= names:
        return "preference pairs"
    if any(isinstance(row.get("prompt"), dict) and "replies" in row["prompt"] for row in rows):
        return "conversation trees"
    return "ranked completions" if any(row.get("rankings") for row in rows) else ""
