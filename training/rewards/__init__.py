"""Rewards of a run: a weighted list of checks, models and shaping, written as text and guarded when it is used."""

from training.rewards.kinds import REWARDS, Kind, Option
from training.rewards.mixing import Mix, RewardFailed, Scored
from training.rewards.parts import Part, parse, written

__all__ = ["REWARDS", "Kind", "Mix", "Option", "Part", "RewardFailed", "Scored", "parse", "written"]
