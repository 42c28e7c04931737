"""The proving ground: a tiny model, trained from scratch in minutes, on arithmetic whose every step has a known truth."""
