"""A win rate is measured on real answers, by a real reward model."""

import asyncio

import pytest

from training import serving
from training.headtohead import play

PROMPTS = [[{"role": "user", "content": f"Question {number}?"}] for number in range(3)]
SAMPLING = {"n": 2, "temperature": 0.9, "max_tokens": 6, "seed": 5}


@pytest.mark.django_db(transaction=True)
def test_a_model_against_itself_ties(registered):
    share = asyncio.run(play(registered["small"], registered["small"], registered["taste"], PROMPTS, told, **SAMPLING))
    assert (share.value, share.count) == (0.5, 3)


@pytest.mark.django_db(transaction=True)
def test_swapping_the_sides_mirrors_the_rate(registered):
    heard = []
    sides = registered["small"], registered["wide"]

    def hear(done, total):
        heard.append((done, total))

    rate = asyncio.run(play(*sides, registered["taste"], PROMPTS, hear, **SAMPLING)).value
    swapped = asyncio.run(play(*sides[::-1], registered["taste"], PROMPTS, told, **SAMPLING)).value
    assert rate + swapped == pytest.approx(1)
    assert heard[-1] == (12, 12)


@pytest.mark.django_db(transaction=True)
def test_a_scorer_that_cannot_score_is_an_error_in_words(registered):
    with pytest.raises(serving.ServingError):
        asyncio.run(play(registered["small"], registered["wide"], registered["small"], PROMPTS, told, **SAMPLING))


def told(done, total):
    assert done <= total
