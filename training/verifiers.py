"""Verifiers: does a solution reach the reference answer? True, False, or None where the verifier does not apply."""

from collections.abc import Callable

from training import answers
from training.math_checking import same_in_mathematics

Verifier = Callable[[str, str], bool | None]


def math(completion: str, reference: str) -> bool | None:
    """The same value, however it is written: 0.5, 1/2 and \\frac12 are one answer."""
    wanted = answers.final_answer(reference) or answers.unmarked(reference)
    if not wanted:
        return None
    said = answers.final_answer(completion)
    if said is None:
        return unmarked_answer(completion, wanted)
    quick = alike(said, wanted)
    return same_in_mathematics(said, wanted) if quick is None else quick


def alike(said: str, wanted: str) -> bool | None:
    """Decide what needs no algebra: equal texts, plain numbers, letters of options; None leaves it open."""
    if answers.plain(said) == answers.plain(wanted):
        return True
    if letter := answers.option(wanted):
        chosen = answers.option(said)
        return chosen == letter if chosen or wanted != letter else None
    one, other = answers.number(said), answers.number(wanted)
    return None if one is None or other is None else one == other


def unmarked_answer(completion: str, wanted: str) -> bool:
    """A solution that marks no answer is judged by the last number or letter it names, else by its last line."""
    value, letter = answers.number(wanted), answers.option(wanted)
    if value is not None:
        return answers.last_number(completion) == value
    if letter and wanted != letter:
        return answers.last_option(completion) == letter
    lines = completion.strip().splitlines()
    return bool(lines) and same_in_mathematics(lines[-1], wanted)


def exact(completion: str, reference: str) -> bool | None:
    """The same text, but for spaces, case and LaTeX dress."""
    wanted = answers.final_answer(reference) or answers.unmarked(reference)
    if not wanted:
        return None
    said = answers.final_answer(completion)
    if said is None:
        lines = completion.strip().splitlines()
        said = lines[-1] if lines else ""
    return answers.plain(said) == answers.plain(wanted)


def last_number(completion: str, reference: str) -> bool | None:
    """The last number of the solution is the reference's; for solutions that mark no answer."""
    wanted = answers.number(answers.final_answer(reference) or reference)
    wanted = answers.last_number(reference) if wanted is None else wanted
    return None if wanted is None else answers.last_number(completion) == wanted


VERIFIERS: dict[str, Verifier] = {"math": math, "exact": exact, "last_number": last_number}
