"""What a labeler says of a trace is checked: each step marked, or up to the first bad one; errors name their field."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.ranks import Invalid
from annotation.steps.ratings import checked, sketched

STEPS = ["3 × 4 = 12", "12 + 5 = 18", "The answer is 18."]
REASONS = {"gave_up": ["too_hard", "other"], "bad_problem": ["ambiguous"]}


def errors(said, steps=STEPS, **options):
    with pytest.raises(Invalid) as caught:
        checked(said, steps, reasons=REASONS, **options)
    return caught.value.errors


def test_every_step_is_marked_and_its_words_are_counted():
    clean = checked({"ratings": ["1", -1, 0], "comment": " hm\0 ", "seconds": "4.5"}, STEPS)
    assert clean["ratings"] == [1, -1, 0]
    assert (clean["comment"], clean["seconds"], clean["words"]) == ("hm", 4.5, 14)


def test_an_unmarked_step_is_not_a_neutral_one():
    assert errors({"ratings": [1, None, 0]}) == {"step_1": "Step 2 is not marked."}
    assert set(errors({"ratings": []})) == {"step_0", "step_1", "step_2"}
    assert set(errors({})) == {"step_0", "step_1", "step_2"}


def test_where_the_first_bad_step_ends_it_nothing_after_that_is_asked():
    said = {"ratings": [1, -1, 1]}
    assert checked(said, STEPS, stop_at_first_bad=True)["ratings"] == [1, -1]
    assert checked(said, STEPS, stop_at_first_bad=True)["words"] == 10
    assert errors({"ratings": [None, -1]}, stop_at_first_bad=True) == {"step_0": "Step 1 is not marked."}
    assert set(errors({"ratings": [1, 1]}, stop_at_first_bad=True)) == {"step_2"}
    assert checked(said, STEPS)["ratings"] == [1, -1, 1]


@pytest.mark.parametrize("ended", [{"gave_up": "too_hard"}, {"bad_problem": "ambiguous"}])
def test_who_gives_up_or_finds_the_problem_bad_need_not_mark_the_rest(ended):
    clean = checked({"ratings": [1, None, None], **ended}, STEPS, reasons=REASONS)
    assert clean["ratings"] == [1]
    assert {name: clean[name] for name in ended} == ended


@pytest.mark.parametrize("bad", [2, -2, "x", True, 0.5, [1], "01", "9" * 5000])
def test_a_rating_outside_minus_one_to_one_is_named(bad):
    assert errors({"ratings": [1, bad, 1]}) == {"step_1": "Step 2: a rating is -1 (bad), 0 (neutral) or 1 (good)."}


@pytest.mark.parametrize(
    ("said", "field", "says"),
    [
        ({"ratings": [1] * 9}, "ratings", "9 ratings were sent, and the trace has 3 steps."),
        ({"ratings": "111"}, "ratings", "ratings is a list"),
        ({"ratings": {"0": 1}}, "ratings", "ratings is a list"),
        ({"flagged": [7]}, "flagged", "There is no step 7 to flag: the trace has 3 steps, from 0."),
        ({"flagged": "1"}, "flagged", "flagged is a list"),
        ({"rewrites": ["x"]}, "rewrites", "rewrites is an object"),
        ({"rewrites": {"3": "x"}}, "rewrites", "There is no step 3 to rewrite"),
        ({"rewrites": {"1": "x" * 20_001}}, "rewrite_1", "at most 20,000 characters"),
        ({"gave_up": "bored"}, "gave_up", "Choose a reason: too_hard, other."),
        ({"bad_problem": "bored"}, "bad_problem", "Choose a reason: ambiguous."),
        ({"gave_up": "other", "bad_problem": "ambiguous"}, "gave_up", "Either you give up or the problem is bad"),
    ],
)
def test_what_does_not_fit_the_trace_is_said_at_its_field(said, field, says):
    assert says in errors({"ratings": [1, 1, 1]} | said)[field]


def test_a_better_step_that_is_empty_or_the_same_is_none():
    said = {"ratings": [1, -1, 1], "rewrites": {"0": " ", "1": "12 + 5 = 17\r\n", 2: STEPS[2]}}
    assert checked(said, STEPS)["rewrites"] == {"1": "12 + 5 = 17"}


def test_one_step_five_hundred_and_a_very_long_one():
    assert checked({"ratings": [0]}, ["only"])["ratings"] == [0]
    assert len(checked({"ratings": [1] * 500}, ["step"] * 500)["ratings"]) == 500
    assert checked({"ratings": [1]}, ["x" * 20_000])["words"] == 1666


def test_a_draft_keeps_what_makes_sense_and_marks_after_a_bad_step_too():
    said = {"ratings": ["1", "-1", "1", "1"], "flagged": ["2", "9"], "rewrites": {"1": "better", "x": "y"}}
    assert sketched(said, STEPS, REASONS) == {
        "ratings": [1, -1, 1],
        "flagged": [2],
        "rewrites": {"1": "better"},
        "gave_up": "",
        "bad_problem": "",
        "comment": "",
        "seconds": 0.0,
    }
    assert sketched({"flagged": 3, "ratings": 4, "rewrites": 5, "gave_up": "nonsense"}, STEPS)["ratings"] == []


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=4)
)


@given(st.dictionaries(st.sampled_from(["ratings", "flagged", "rewrites", "gave_up", "seconds", "comment"]), anything))
def test_whatever_is_sent_is_either_sound_or_refused(said):
    sketched(said, STEPS)
    try:
        clean = checked(said, STEPS)
    except Invalid as invalid:
        assert invalid.errors
    else:
        assert len(clean["ratings"]) == 3 and set(clean["ratings"]) <= {-1, 0, 1}
