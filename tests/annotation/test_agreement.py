"""Agreement: published numbers, and what must hold of it whatever people say."""

import json
import os
import random
from pathlib import Path

import pytest

from annotation import agreement
from annotation.agreement import cohen_kappa, krippendorff_alpha, pairwise_kappas, rank_units, tau_b

DATA = Path(os.environ.get("STUDIO_SHARED_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
PANDALM = DATA / "pandalm" / "testset-v1.json"


@pytest.fixture
def pandalm():
    if not PANDALM.exists():
        pytest.skip(f"{PANDALM} is not on this machine")
    return [[row[f"annotator{n}"] for n in (1, 2, 3)] for row in json.loads(PANDALM.read_text())]


def test_the_published_alpha_of_pandalm_comes_out(pandalm):
    assert krippendorff_alpha(pandalm, "nominal") == pytest.approx(0.864, abs=0.0005)


def test_the_published_kappas_of_pandalm_come_out(pandalm):
    kappas = pairwise_kappas(pandalm)
    assert [round(kappas[pair], 2) for pair in ((0, 1), (0, 2), (1, 2))] == [0.85, 0.88, 0.86]


def test_alpha_is_unknown_without_two_ratings_or_without_variation():
    assert krippendorff_alpha([[1, None], [None, 2]]) is None
    assert krippendorff_alpha([[1, 1], [1, 1]]) is None
    assert krippendorff_alpha([]) is None


def test_nominal_alpha_takes_words():
    assert krippendorff_alpha([["yes", "yes"], ["no", "no"], ["yes", "yes"]]) == pytest.approx(1)


def test_kappa_is_unknown_when_chance_explains_everything():
    assert cohen_kappa("yyy", "yyy") is None
    assert cohen_kappa([1, None], [None, 1]) is None


def test_tau_b_is_scipys_with_ties_too():
    from scipy.stats import kendalltau

    draw = random.Random(0)
    for _ in range(300):
        size = draw.randint(2, 7)
        a, b = ({n: draw.randint(1, size) for n in range(size)} for _ in range(2))
        ours, theirs = tau_b(a, b), kendalltau(list(a.values()), list(b.values())).statistic
        assert (ours is None and theirs != theirs) or ours == pytest.approx(theirs)


def test_tau_b_reads_only_completions_both_ranked():
    assert tau_b({"a": 1, "b": 2, "c": 3}, {"b": 1, "c": 2, "d": 3}) == 1


def rankings(prompts: int, noise: float, labelers=("ann", "ben", "cleo"), seed: int = 0) -> dict:
    """Each labeler orders two to five completions by their true quality plus noise."""
    draw = random.Random(seed)

    def order(count: int) -> dict:
        worth = {n: n + draw.gauss(0, noise) for n in range(count)}
        return {name: place for place, name in enumerate(sorted(worth, key=worth.get), 1)}

    return {p: {labeler: order(2 + p % 4) for labeler in labelers} for p in range(prompts)}


def test_people_who_always_agree_have_alpha_one_and_an_interval_at_one():
    found = agreement.agreement(rankings(30, noise=0))
    assert found.alpha == pytest.approx(1) and found.alpha_interval == pytest.approx((1, 1))
    assert found.preference == 1 and found.tau == 1 and found.words == "reliable"


def test_people_who_guess_have_alpha_near_zero():
    """Though their prompts have two to five completions: pooled, that alone would look like agreement."""
    found = agreement.agreement(rankings(300, noise=1000))
    assert found.alpha_interval[0] < 0 < found.alpha_interval[1] and abs(found.alpha) < 0.05
    assert abs(found.preference - 0.5) < 0.05 and abs(found.tau) < 0.1


def test_the_interval_holds_the_estimate_and_narrows_with_more_prompts():
    few, many = (agreement.agreement(rankings(count, noise=1.0)) for count in (20, 300))
    for found in (few, many):
        assert found.alpha_interval[0] <= found.alpha <= found.alpha_interval[1]
        assert found.preference_interval[0] <= found.preference <= found.preference_interval[1]
    assert width(many.alpha_interval) < width(few.alpha_interval)


def width(interval) -> float:
    return interval[1] - interval[0]


def test_too_few_prompts_have_no_interval():
    found = agreement.agreement(rankings(4, noise=0.5))
    assert found.alpha is not None and found.alpha_interval is None and found.preference_interval is None


def test_ranks_written_with_and_without_gaps_are_the_same_ranks():
    gaps, dense = {"a": 1, "b": 1, "c": 3}, {"a": 1, "b": 1, "c": 2}
    assert rank_units({"ann": gaps}) == rank_units({"ann": dense})


def test_a_tie_disagrees_with_a_preference():
    labels = {1: {"ann": {"x": 1, "y": 2}, "ben": {"x": 1, "y": 1}}}
    assert agreement.agreement(labels).preference == 0


def test_the_odd_one_out_agrees_least():
    labels = rankings(40, noise=0.2)
    for prompt in labels.values():
        prompt["cleo"] = {name: len(prompt["cleo"]) + 1 - rank for name, rank in prompt["cleo"].items()}
    found = agreement.agreement(labels)
    assert found.of("cleo") < 0.2 < 0.4 < found.of("ann")
    assert found.of("nobody") is None


def test_prompts_that_one_person_ranked_say_nothing():
    found = agreement.agreement({1: {"ann": {"x": 1, "y": 2}}})
    assert found.prompts == 0 and found.alpha is None and found.words == "not known yet"
