"""Reasoning traces on the side of people: cutting, reading and writing them, what is said of steps, frozen rows."""
