"""Judge programs a model wrote by unit tests: each in a fresh sandbox, what is expected stays out of its reach."""

from training.sandbox.cell import Limits
from training.sandbox.judging import Verdict, judge, judge_all
from training.sandbox.runtime import NoSandbox, why_not

__all__ = ["Limits", "NoSandbox", "Verdict", "judge", "judge_all", "why_not"]
