"""The proving ground: a tiny model, trained from scratch in minutes, on sums whose every step has a known truth.

    python -m training.provingground build FOLDER        # policy, traces, PRM, ORM; what is there is kept
    python -m training.provingground show FOLDER         # solutions, the truth of their steps, what the PRM thinks

    ground = build(folder)                               # training.provingground.ground
    solutions = ground.policy.solve(ground.problems(10), n=4)
    judge(problem, steps).first_error                    # training.provingground.truth: exact
    ground.policy.label(traces, n=16)                    # Monte-Carlo counts of every step
    ground.prm.scores(traces)

Models are ordinary folders, trained by the studio's own recipes through run directories: they can be served, registered
and trained further. `--size minute` is a smaller one for tests.
"""
