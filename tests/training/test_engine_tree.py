"""What rows share stands once, and every row is still there."""

from hypothesis import given
from hypothesis import strategies as some

from training.engine.tree import Tree

ROWS = some.lists(some.lists(some.integers(0, 2), max_size=12), min_size=1, max_size=8)


@given(ROWS, some.integers(1, 5))
def test_every_row_is_read_from_the_tree(rows, least):
    tree = Tree.of(rows, least)
    assert [[tree.tokens[place] for place in places] for places in tree.places] == rows
    for places in tree.places:
        assert [tree.positions[place] for place in places] == list(range(len(places)))


@given(ROWS, some.integers(1, 5))
def test_a_token_sees_what_its_row_has_before_it(rows, least):
    tree = Tree.of(rows, least)
    for places in tree.places:
        for segment in tree.segments:
            if segment.start in places:
                seen = [
                    at for start, end in (*segment.before, (segment.start, segment.end)) for at in range(start, end)
                ]
                own = places[: places.index(segment.start)] + list(range(segment.start, segment.end))
                assert seen == own and segment.depth == len(own) - (segment.end - segment.start)


@given(ROWS, some.integers(1, 5))
def test_no_two_segments_begin_alike_behind_the_same_ancestors(rows, least):
    tree = Tree.of(rows, least)
    begins = [(s.before, tuple(tree.tokens[s.start : s.end][:least])) for s in tree.segments]
    assert len(begins) == len(set(begins))
    assert len(tree.tokens) <= sum(map(len, rows))


def test_a_system_prompt_a_question_and_equal_answers_stand_once():
    system, question = list(range(100, 120)), list(range(200, 230))
    rows = [system + question + [1], system + question + [1], system + question + [2, 3], system + [4] * 20]
    tree = Tree.of(rows)
    assert len(tree.tokens) == 20 + 30 + 1 + 2 + 20
    assert tree.places[0] == tree.places[1]


@given(ROWS, some.integers(1, 5))
def test_lines_hold_every_segment_once_and_see_what_it_sees(rows, least):
    tree = Tree.of(rows, least)
    assert [token for line in tree.lines for token in range(line.start, line.end)] == list(range(len(tree.tokens)))
    assert len(tree.lines) == len(tree.segments) - len({s.before[-1] for s in tree.segments if s.before})
    for line in tree.lines:
        own = next(s for s in tree.segments if s.start == line.start)
        seen = [[at for start, end in spans for at in range(start, end)] for spans in (line.before, own.before)]
        assert seen[0] == seen[1] and line.depth == own.depth
        assert all(one[1] < other[0] for one, other in zip(line.before, line.before[1:], strict=False))
