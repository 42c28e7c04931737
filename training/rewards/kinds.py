"""The rewards there are: what each says, which options it takes, which columns of a row it reads."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from training.rewards import checks, shaping
from training.rewards.endpoint import endpoint


@dataclass(frozen=True)
class Option:
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    required: bool = False

    @property
    def kind(self) -> type:
        return type(self.default)


@dataclass(frozen=True)
class Kind:
    """Called with an argument and options, it makes the reward function."""

    help: str
    make: Callable[..., Any] | None = None  # None: a model or an endpoint, supplied by `resolve`
    options: dict[str, Option] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    argument: str = ""  # what stands after the colon, in a word
    family: str = "checks"
    do_not_call_in_templates = True

    @property
    def learned(self) -> bool:
        return self.make is None

    def __call__(self, argument: str = "", **options: Any) -> Callable[..., list[float | None]]:
        return self.make(argument, **options)


AGGREGATES = ("min", "prod", "last", "mean", "dense", "gain")
FAMILIES = {"checks": "Checks", "models": "Models", "shaping": "How it is written"}

REWARDS: dict[str, Kind] = {
    "math": Kind(
        "1 where the answer has the reference's value, however it is written. Says whether format or value is wrong.",
        checks.math,
        {"marked": Option(False, "only an answer marked as one counts: boxed, ####, “the answer is”, <answer>")},
        ("reference",),
    ),
    "exact": Kind(
        "1 where the answer is the reference's text, but for spaces and case.",
        checks.verifier("exact"),
        {},
        ("reference",),
    ),
    "last_number": Kind(
        "1 where the last number is the reference's, for answers that mark none.",
        checks.verifier("last_number"),
        {},
        ("reference",),
    ),
    "code": Kind(
        "1 where the program passes the row's unit tests, in a sandbox.",
        checks.code,
        {
            "partial": Option(False, "the share of tests passed, not all or nothing: easier to learn, and to game"),
            "seconds": Option(6.0, "longest a case may take"),
            "memory": Option(512, "most MiB a case may take"),
        },
        ("tests",),
    ),
    "logic": Kind("1 where the answer solves the row's puzzle, found by playing it.", checks.logic, {}, ("puzzle",)),
    "regex": Kind(
        "1 where a pattern is found.",
        checks.regex,
        {
            "pattern": Option("", "a Python pattern; rows may bring their own in a column “pattern”"),
            "whole": Option(False, "it must match from beginning to end"),
            "ignore_case": Option(False, "capital letters do not matter"),
        },
    ),
    "json_schema": Kind(
        "1 where the answer is JSON that fits a schema.",
        checks.json_schema,
        {"schema": Option("", "a JSON Schema; rows may bring their own in a column “schema”")},
    ),
    "format": Kind(
        "1 where thinking and answer stand in their tags, each once and in order.",
        checks.tags,
        {
            "think": Option("think", "tag around the thinking; empty: none"),
            "answer": Option("answer", "tag around the answer; empty: the answer follows untagged"),
        },
    ),
    "reward_model": Kind(
        "A reward model's score.",
        argument="model version",
        family="models",
    ),
    "orm": Kind(
        "An outcome reward model's probability that the solution is right.",
        argument="model version",
        family="models",
    ),
    "prm": Kind(
        "A process reward model's view of the steps.",
        options={
            "aggregate": Option(
                "min",
                "the steps' least score, their product, last or mean; dense and gain reward each step where it ends, "
                "by its score or by what it adds",
                AGGREGATES,
            )
        },
        argument="model version",
        family="models",
    ),
    "endpoint": Kind(
        "Whatever a service of yours answers: it is sent prompts, completions and columns, and returns rewards.",
        endpoint,
        argument="address",
        family="models",
    ),
    "length": Kind(
        "How long the completion is. Give it a negative weight to keep it short.",
        shaping.length,
        {
            "target": Option(0, "up to here it costs nothing; 0: the count itself"),
            "limit": Option(0, "from here on it costs all; 0: twice the target"),
            "unit": Option("words", "what is counted", ("words", "characters", "tokens")),
        },
        family="shaping",
    ),
    "repetition": Kind(
        "The share of word sequences that repeat. Give it a negative weight.",
        shaping.repetition,
        {"n": Option(4, "words in a sequence")},
        family="shaping",
    ),
    "language": Kind(
        "How far it is written in one language.",
        shaping.language,
        argument="language",
        family="shaping",
    ),
}
