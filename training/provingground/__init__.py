"""The proving ground: a tiny model, trained from scratch in minutes, on sums whose every step has a known truth."""
