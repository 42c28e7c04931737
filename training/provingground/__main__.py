"""Build a proving ground, or look into one: `python -m training.provingground build FOLDER`."""

import argparse

from training.provingground.ground import SIZES, Ground, build
from training.provingground.problems import Problem
from training.provingground.truth import judge

MARKS = {True: "✓", False: "✕"}


def main(arguments: list[str] | None = None) -> None:
    chosen = parser().parse_args(arguments)
    chosen.verb(chosen)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m training.provingground", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for verb, help in ((build_it, "make what is missing"), (show, "solve some problems and judge every step")):
        sub = verbs.add_parser(verb.__name__.removesuffix("_it"), help=help)
        sub.add_argument("folder")
        sub.add_argument("--size", choices=SIZES, default="full")
        sub.set_defaults(verb=verb)
    sub.add_argument("--problems", type=int, default=3)
    sub.add_argument("--seed", default="show", help="another seed shows other problems")
    return parser


def build_it(chosen: argparse.Namespace) -> None:
    ground = build(chosen.folder, chosen.size)
    solved = [trace.truth.solved for trace in ground.held_out]
    print(f"policy {ground.policy_folder}: solves {100 * sum(solved) / len(solved):.0f} % of held-out problems")
    print(f"prm    {ground.prm_folder}\norm    {ground.orm_folder}")


def show(chosen: argparse.Namespace) -> None:
    """One solution of each problem: the truth of its steps beside what the reward models think."""
    ground = Ground(chosen.folder, chosen.size)
    problems = ground.problems(chosen.problems, chosen.seed)
    for problem, [steps] in zip(problems, ground.policy.solve(problems, seed=len(chosen.seed)), strict=True):
        show_one(problem, steps, ground.prm.scores([(problem, steps)])[0], ground.orm.scores([(problem, steps)])[0][-1])


def show_one(problem: Problem, steps: list[str], chances: list[float], outcome: float) -> None:
    truth = judge(problem, steps)
    print(f"\n{problem.text}\n    answer {problem.answer}; outcome reward {outcome:.2f}")
    for step, kind, good, chance in zip(steps, truth.kinds, truth.labels, chances, strict=True):
        print(f"  {MARKS[good]} {chance:.2f}  {step:<24} {'' if kind == 'right' else kind}")


if __name__ == "__main__":
    main()
