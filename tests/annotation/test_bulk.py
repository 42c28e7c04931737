"""Looking many rows up by one parameter, and making the next item while one is in use."""

import threading
import uuid

import pytest
from django.db.models import F

from annotation.bulk import STATEMENT_ROWS, Among, ahead, insert, reserve
from annotation.models import Completion, Prompt, Ranking


@pytest.mark.django_db
def test_among_finds_what_an_in_list_finds(project, make_prompt, bob):
    prompts = [make_prompt(f"Question {n}") for n in range(4)]
    key = Ranking.objects.create(prompt=prompts[0], labeler=bob).key
    some = [prompts[0].pk, prompts[2].pk, 10**12]
    assert set(Prompt.objects.filter(Among(F("pk"), some))) == {prompts[0], prompts[2]}
    assert Prompt.objects.get(Among(F("fingerprint"), [prompts[1].fingerprint])) == prompts[1]
    assert Ranking.objects.filter(Among(F("key"), {key, uuid.uuid4()})).count() == 1
    assert not Prompt.objects.filter(Among(F("pk"), [])).exists()


@pytest.mark.django_db
def test_rows_beyond_a_statement_all_land(project, make_prompt):
    prompt, count = make_prompt(completions=()), STATEMENT_ROWS + 3
    ids = reserve(Completion, count)
    rows = [(pk, prompt.pk, f"text {pk}", "", "{}", str(pk)) for pk in ids]
    insert(Completion, "id prompt_id text source metadata fingerprint", rows)
    assert list(prompt.completions.values_list("text", flat=True)) == [f"text {pk}" for pk in ids]


def test_the_next_item_is_made_while_one_is_in_use():
    made, begun = [], threading.Event()

    def items():
        for n in range(3):
            made.append(n)
            if n == 1:
                begun.set()
            yield n

    for item in ahead(items()):
        if item == 0:
            assert begun.wait(10), "the second is made although nobody asked for it yet"
    assert made == [0, 1, 2]


def test_an_error_comes_after_the_items_before_it():
    def items():
        yield 1
        raise ValueError("broken")

    running = ahead(items())
    assert next(running) == 1
    with pytest.raises(ValueError, match="broken"):
        next(running)
