"""Tokens become text that is safe to send, and chance is each row's own."""

import pytest

from tests.tiny import tiny_tokenizer
from training.server.sampling import Sampling, TextStream, make_generator, narrow, pick

pytestmark = pytest.mark.training
TEXTS = [
    "naïve café",
    "日本語のテキスト",
    "👩‍👩‍👧 family 🏳️‍🌈",
    "שלום עולם",
    "a\u0301 e\u0308",
    "  two  spaces\n\n\ttab ",
    "",
]


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


@pytest.mark.parametrize("text", TEXTS)
def test_no_half_characters_are_ever_sent(tokenizer, text):
    stream = TextStream(tokenizer)
    pieces = [stream.push(token) for token in tokenizer(text)["input_ids"]]
    assert "\N{REPLACEMENT CHARACTER}" not in "".join(pieces)
    assert "".join(pieces) + stream.finish() == text


def test_bytes_that_are_no_text_still_arrive(tokenizer):
    stream = TextStream(tokenizer)
    half = tokenizer("é")["input_ids"][:1]
    said = "".join(stream.push(token) for token in half * 40 + tokenizer(" end")["input_ids"]) + stream.finish()
    assert said.endswith(" end") and said.count("\N{REPLACEMENT CHARACTER}") == 40


def test_a_character_cut_by_the_limit_is_shown_as_one_mark(tokenizer):
    stream = TextStream(tokenizer)
    assert "".join(stream.push(token) for token in tokenizer("ok 日")["input_ids"][:-1]) == "ok "
    assert stream.finish() == "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("stop", [["。本"], ["END", "EN"], ["zz"]])
def test_no_part_of_a_stop_string_is_ever_sent(tokenizer, stop):
    text = "日。本 is E EN zz"
    cut = min((text.find(s) for s in stop if s in text), default=len(text))
    stream = TextStream(tokenizer, stop)
    said = ""
    for token in tokenizer(text)["input_ids"]:
        said += stream.push(token)
        assert text[:cut].startswith(said)
        if stream.stopped:
            break
    assert said + stream.finish() == text[:cut]


def test_a_text_that_only_begins_like_a_stop_string_is_not_lost(tokenizer):
    stream = TextStream(tokenizer, ["word, and more"])
    said = "".join(stream.push(token) for token in tokenizer("a word, an")["input_ids"])
    assert said + stream.finish() == "a word, an"


def test_draws_follow_the_softmax():
    import torch

    logits = torch.tensor([1.0, 0.0, -1.0, -30.0])
    generator = make_generator(3, 0, "cpu")
    drawn = torch.stack([pick(logits, Sampling(temperature=0.7), generator) for _ in range(8000)])
    share = torch.bincount(drawn, minlength=4) / 8000
    assert torch.allclose(share, (logits / 0.7).softmax(-1), atol=0.02)


@pytest.mark.parametrize(
    ("settings", "kept"), [((2, 1.0), 2), ((0, 0.6), 1), ((0, 0.7), 2), ((0, 0.0), 1), ((3, 0.99), 3), ((0, 1.0), 4)]
)
def test_top_k_and_top_p_keep_the_best(settings, kept):
    import torch

    scores = torch.tensor([0.05, 0.64, 0.24, 0.07]).log()
    left = narrow(scores, *settings)
    best = scores.argsort(descending=True)[:kept]
    assert set(left.isfinite().nonzero().flatten().tolist()) == set(best.tolist())


def test_a_flat_nucleus_wider_than_the_head_is_still_exact():
    import torch

    scores = torch.zeros(5000) + torch.arange(5000) * 1e-4
    left = narrow(scores, 0, 0.9)
    ordered = scores.softmax(-1).sort(descending=True).values
    assert left.isfinite().sum() == ((ordered.cumsum(-1) - ordered) < 0.9).sum()
