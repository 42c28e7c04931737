"""Rankings become pairs: ties teach nothing, margins are distances, disagreement is settled as asked."""

import doctest
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.freezing import conversion, histogram, pairs, report
from annotation.freezing.conversion import Pair, Ranked, contradictions, margin_between, pairs_from_ranking, row, settle
from annotation.freezing.report import Report, wilson
from annotation.importing import prepare, readers, textfiles

ranks = st.lists(st.integers(1, 5), min_size=0, max_size=7)


@pytest.mark.parametrize("module", [conversion, histogram, report, prepare, readers, textfiles])
def test_the_examples_in_the_code_are_true(module):
    assert doctest.testmod(module).failed == 0


@given(ranks)
def test_every_two_completions_told_apart_give_one_pair_and_ties_give_none(ranks):
    found = list(pairs_from_ranking(1, [Ranked(n, rank) for n, rank in enumerate(ranks)]))
    expected = {(a, b) for a, x in enumerate(ranks) for b, y in enumerate(ranks) if x < y}
    assert {pair[1:3] for pair in found} == expected and len(found) == len(expected)


@given(ranks)
def test_a_margin_lies_between_0_and_1(ranks):
    assert all(0 < pair.margin <= 1 for pair in pairs_from_ranking(1, [Ranked(n, r) for n, r in enumerate(ranks)]))


def test_best_against_worst_has_the_whole_margin_and_ratings_go_before_ranks():
    best, middle, worst = Ranked("a", 1), Ranked("b", 2), Ranked("c", 3)
    assert margin_between(best, worst, 2) == 1.0 and margin_between(best, middle, 2) == 0.5
    assert margin_between(Ranked("a", 1, 7), Ranked("b", 4, 1), 3) == 1.0
    assert margin_between(Ranked("a", 1, 3), Ranked("b", 2, 5), 1) == 0.0  # ranked and rated differently


def test_a_draw_between_labelers_leaves_no_pair_under_majority():
    assert settle([Pair(1, "a", "b"), Pair(2, "b", "a")], "majority") == []


def test_contradictions_name_both_rankings():
    assert contradictions([Pair(4, "a", "b"), Pair(9, "b", "a"), Pair(9, "b", "c")]) == [(4, 9)]
    assert contradictions([Pair(4, "a", "b"), Pair(9, "a", "b")]) == []


def test_lines_written_in_bulk_are_the_rows_of_the_conversion():
    chat = [{"content": "Capital of “Peru”?", "role": "user"}]
    prompt = pairs.PromptLabels(3, chat, "mark", "", {1: "Lima.\n", 2: "Cusco\u2028"}, {7: (None, "page")})
    [line] = pairs.lines(prompt, [Pair(7, 1, 2, 0.5)], margin=True)
    assert json.loads(line) == row(chat, "Lima.\n", "Cusco\u2028", ranking=7, prompt_id=3, margin=0.5)
    assert "margin" not in json.loads(pairs.lines(prompt, [Pair(7, 1, 2, 0.5)], margin=False)[0])


def test_the_report_counts_lengths_repeats_and_contradictions():
    texts = {1: "one two three", 2: "one", 3: "one two three"}
    rankings = {7: (5, "page"), 8: (6, "import")}
    prompt = pairs.PromptLabels(3, [], "mark", "helpful", texts, rankings)
    said = [Pair(7, 1, 2), Pair(8, 1, 2), Pair(8, 2, 3)]
    counted = Report()
    counted.add(prompt, said, [*said, Pair(7, 3, 2)])
    summary = counted.summary()
    assert summary["rows"] == 3 and summary["duplicates"] == 1 and summary["contradictions"] == 1
    assert summary["longer_share"] == pytest.approx(2 / 3) and summary["unequal"] == 3
    assert summary["criteria"] == {"helpful": 3} and summary["sources"] == {"import": 2, "page": 1}
    assert summary["lengths"]["chosen_words"] == [[1, 1, 1], [2, 3, 2]]
    assert summary["examples"] == [{"prompt": 3, "rankings": [7, 8], "pairs": 1}]


def test_wilsons_interval_is_the_published_one():
    assert [round(edge, 4) for edge in wilson(10, 10)] == [0.7225, 1.0]  # Newcombe 1998 gives .7225 for 10 of 10
    assert wilson(0, 0) is None
