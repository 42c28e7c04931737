"""Solutions are cut where the rule says and nowhere else; nothing of them is lost, however odd they are."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.models import SPLITS
from annotation.steps.splitting import CUTS, split

PARTS = [
    "a",
    " ",
    "\n",
    "\n\n",
    ". ",
    "$",
    "$$",
    r"\[",
    r"\]",
    r"\(",
    "```",
    "Step 1: ",
    "#### 4",
    "# Answer",
    "B",
    "1.5",
]


@given(st.lists(st.sampled_from(PARTS), max_size=30).map("".join), st.sampled_from(list(SPLITS)))
def test_the_steps_of_a_solution_are_its_text_but_for_blanks(text, rule):
    steps = split(text, rule)
    assert "".join("".join(steps).split()) == "".join(text.split())
    assert all(step == step.strip() and step for step in steps)


def test_every_rule_a_project_can_have_is_one_that_cuts():
    assert list(CUTS) == list(SPLITS)


@pytest.mark.parametrize(
    ("rule", "text", "steps"),
    [
        ("blank_line", "", []),
        ("blank_line", " \n\n ", []),
        ("blank_line", "one", ["one"]),
        ("blank_line", "a\n \t\nb\n\n\n\nc", ["a", "b", "c"]),
        ("blank_line", "Run\n```py\nx = 1\n\ny = 2\n```\n\nDone.", ["Run\n```py\nx = 1\n\ny = 2\n```", "Done."]),
        ("blank_line", "So\n$$a\n\n+ b$$\n\nend", ["So\n$$a\n\n+ b$$", "end"]),
        ("blank_line", "\\begin{align}a\n\nb\\end{align}\n\nend", ["\\begin{align}a\n\nb\\end{align}", "end"]),
        ("blank_line", "a \\[ never closed\n\nb", ["a \\[ never closed", "b"]),
        ("blank_line", "So 29.\n\n# Answer\n\n29", ["So 29.\n\n# Answer\n\n29"]),
        ("line", "a\n\nb\r\nc", ["a", "b", "c"]),
        ("line", "a\n\\[\nx\n\\]\nb", ["a", "\\[\nx\n\\]", "b"]),
        ("line", "#### 5", ["#### 5"]),
        ("step_n", "Let us see.\nStep 1: a\nb\n### Step 2. c", ["Let us see.", "Step 1: a\nb", "### Step 2. c"]),
        ("step_n", "Step 1: as said in step 2: it holds", ["Step 1: as said in step 2: it holds"]),
        ("step_n", "no steps\n\nhere", ["no steps\n\nhere"]),
        (
            "sentence",
            "It is 3.14. Then e.g. 2? Yes! (So it is.) End",
            ["It is 3.14.", "Then e.g. 2?", "Yes!", "(So it is.)", "End"],
        ),
        ("sentence", "Mr. A. Smith has 5. He eats 2.", ["Mr. A. Smith has 5.", "He eats 2."]),
        ("sentence", "1. Take 2. 2. Add 3.", ["1. Take 2.", "2. Add 3."]),
        ("sentence", "If $x = 1. Y$ holds. Then \\(a. B\\).", ["If $x = 1. Y$ holds.", "Then \\(a. B\\)."]),
        ("sentence", "Fig. 3 shows\nit. no capital follows", ["Fig. 3 shows\nit. no capital follows"]),
    ],
)
def test_a_rule_cuts_there_and_nowhere_else(rule, text, steps):
    assert split(text, rule) == steps


@pytest.mark.parametrize(
    "part", ["\\[ ", "\\( ", "$$", "$a ", "<<", "`", "\\begin{a} ", "```\n", "#### 3\n\n", "# Answer\n\n"]
)
def test_hostile_texts_take_no_longer_than_others(part):
    text, start = part * (300_000 // len(part)), time.process_time()
    for rule in SPLITS:
        split(text, rule)
    assert time.process_time() - start < 4
