"""Make, solve and check puzzles by playing them. `python -m training.puzzles water_jugs 100` writes rows to import."""

import json
import random
import re
import sys
from collections import deque
from collections.abc import Iterator
from typing import Any

from training.puzzle_machines import MACHINES, MAKERS, BadPuzzle, Machine, Move, State

LONGEST = 2000  # moves an answer may hold
FURTHEST = 200_000  # states a search may visit

Said = tuple[float | None, str]


def machine(puzzle: dict[str, Any]) -> Machine:
    try:
        return MACHINES[puzzle["kind"]](puzzle)
    except (KeyError, TypeError, ValueError) as error:
        raise error if isinstance(error, BadPuzzle) else BadPuzzle(f"This puzzle cannot be read: {error!r}") from error


def check(puzzle: Any, answer: str) -> Said:
    """1 for an answer that solves the puzzle, and why not otherwise. Raises BadPuzzle."""
    if isinstance(puzzle, str):
        try:
            puzzle = json.loads(puzzle)
        except ValueError:
            raise BadPuzzle("The puzzle is no JSON.") from None
    if not isinstance(puzzle, dict) or puzzle.get("kind") not in (*MACHINES, "reasoning_gym"):
        raise BadPuzzle(f"A puzzle names its kind: one of {', '.join(MACHINES)}, reasoning_gym.")
    if puzzle["kind"] == "reasoning_gym":
        from training import gym

        return gym.check(puzzle, answer)
    return play(machine(puzzle), answer)


def play(game: Machine, answer: str) -> Said:
    """Make the answer's moves, one a line, from start to goal."""
    state, made = game.start, 0
    for line in answer.splitlines():
        if not (move := tidy(line)):
            continue
        if made >= LONGEST:
            return 0.0, f"There are more than {LONGEST} moves."
        legal = {tidy(name): after for name, after in game.moves(state)}
        if move not in legal:
            return 0.0, f"Move {made + 1}, “{line.strip()[:60]}”, is not legal there."
        state, made = legal[move], made + 1
    if game.solved(state):
        return 1.0, f"Solved in {made} move{'' if made == 1 else 's'}."
    return 0.0, f"After {made} legal moves the goal is not reached." if made else "There are no moves."


def tidy(line: str) -> str:
    """A move as it is compared: no list marks, full stops or capitals; the order of what is taken does not matter.

    >>> tidy(" 2. Take wolf and  goat."), tidy("- fill A"), tidy("```")
    ('take goat wolf', 'fill a', '')
    """
    words = re.sub(r"^\s*(?:\d+[.)]|[-*•])\s*|[`.,;]|\band\b", " ", line).lower().split()
    return " ".join([*words[:1], *sorted(words[1:])] if words[:1] == ["take"] else words)


def solution(game: Machine) -> list[Move] | None:
    """A shortest solution, by breadth-first search; None where there is none.

    >>> solution(machine({"kind": "water_jugs", "sizes": [3, 5], "goal": 4}))
    ['fill B', 'pour B A', 'empty A', 'pour B A', 'fill B', 'pour B A']
    """
    before: dict[State, tuple[State, Move] | None] = {game.start: None}
    queue = deque([game.start])
    while queue and len(before) < FURTHEST:
        state = queue.popleft()
        if game.solved(state):
            return path_to(state, before)
        for move, after in game.moves(state):
            if after not in before:
                before[after] = (state, move)
                queue.append(after)
    return None


def path_to(state: State, before: dict) -> list[Move]:
    moves = []
    while step := before[state]:
        state, move = step
        moves.append(move)
    return moves[::-1]


def rows(kind: str, count: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Solvable puzzles, each once, as rows to import: the prompt, a shortest solution, the puzzle in its metadata."""
    chance, seen = random.Random(seed), set()
    for _ in range(100 * count):
        if len(seen) == count:
            return
        puzzle = MAKERS[kind](chance)
        mark = json.dumps(puzzle, sort_keys=True)
        if mark not in seen and (moves := solution(game := machine(puzzle))):
            seen.add(mark)
            yield {"prompt": game.text(), "reference": "\n".join(moves), "metadata": {"puzzle": puzzle}}


def main(kind: str, count: str = "100", seed: str = "0") -> None:
    from training import gym

    make = rows if kind in MAKERS else gym.rows
    for row in make(kind, int(count), int(seed)):
        print(json.dumps(row, ensure_ascii=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
