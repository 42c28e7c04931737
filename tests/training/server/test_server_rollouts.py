"""Continuing traces from their prefixes: the same texts as one generate call a prefix, whoever shares the batch."""

import threading
import time

import pytest

from training.server import rollouts
from training.server.folders import Options
from training.server.loading import load
from training.server.rollouts import RolloutJob, Rollouts, trunks_of
from training.server.sampling import Sampling, make_generator, pick, pick_rows

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
ANSWERED = [*QUESTION, {"role": "assistant", "content": "Paris."}]
STEPS = ["The sky is blue", "because air scatters", "short waves of light", "more than long ones."]
PREFIXES = ["".join(step + "\n\n" for step in STEPS[:k]) for k in range(len(STEPS) + 1)]
GREEDY = Sampling(temperature=0)


@pytest.fixture(scope="module")
def model(models):
    return load("tiny", models / "tiny", Options(models=models))


def job(model, items, sampling=GREEDY, n=1, max_tokens=12, stop=()):
    tokens = [model.encode_begun(messages, prefixes, add_generation_prompt=True) for messages, prefixes in items]
    return RolloutJob(tokens, sampling, n, max_tokens, stop, emit=lambda done: None)


def run(model, job, room=1 << 30):
    rollouts.run(model, [job], room)
    return job


def generated(model, messages, prefix, max_tokens=12):
    """What transformers' own generate says, one call a prefix."""
    import torch

    text = model.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True) + prefix
    ids = model.tokenizer(text, return_tensors="pt", add_special_tokens=False)
    with torch.inference_mode():
        out = model.network.generate(**ids, max_new_tokens=max_tokens, do_sample=False)
    return model.tokenizer.decode(out[0, ids.input_ids.shape[1] :], skip_special_tokens=True)


def many(count):
    return [([{"role": "user", "content": f"Please help me with number {at}."}], PREFIXES) for at in range(count)]


def test_at_temperature_zero_it_says_what_generate_says_prefix_by_prefix(model):
    items = [(QUESTION, PREFIXES), *many(1), (QUESTION, ["é 12", "", "something else altogether, and rather longer"])]
    done = run(model, job(model, items, n=2))
    for (messages, prefixes), texts in zip(items, done.texts, strict=True):
        assert texts == [[generated(model, messages, prefix)] * 2 for prefix in prefixes]


def test_with_little_room_the_texts_are_the_same(model):
    sampling = Sampling(temperature=1.0, seed=3)
    free, tight = (run(model, job(model, many(4), sampling, n=3), room) for room in (1 << 30, 200_000))
    assert Rollouts(model, 200_000).columns < 4 * 120
    assert free.texts == tight.texts and free.reasons == tight.reasons


def test_a_trace_is_read_once_for_all_of_its_prefixes(model):
    asked = job(model, [(QUESTION, PREFIXES)], n=4)
    done = run(model, asked)
    assert done.read_tokens == max(map(len, asked.items[0]))


def test_prefixes_that_share_little_get_a_trunk_each(model):
    other = ["I am sorry, I cannot help with that, but here is what you could do instead."]
    trunks = list(trunks_of(job(model, [(QUESTION, PREFIXES + other)])))
    assert [len(trunk.branches) for trunk in trunks] == [len(PREFIXES), 1]


def test_a_seed_gives_the_same_texts_again_and_every_row_its_own(model):
    sampling = Sampling(temperature=1.0, seed=7)
    first, again = (run(model, job(model, many(3), sampling, n=6)) for _ in range(2))
    alone = run(model, job(model, many(1), sampling, n=6))
    assert first.texts == again.texts and first.texts[0] == alone.texts[0]
    texts = [text for item in first.texts for prefix in item for text in prefix]
    assert len(set(texts)) > 0.9 * len(texts)


def test_tokens_are_drawn_from_the_models_distribution(model):
    draws = 1000
    done = run(model, job(model, [(QUESTION, PREFIXES[:2])], Sampling(temperature=0.5, seed=1), n=draws, max_tokens=1))
    for prefix, texts in zip(PREFIXES[:2], done.texts[0], strict=True):
        expected = next_texts(model, prefix, temperature=0.5)
        for text in sorted(expected, key=expected.get)[-3:]:
            spread = (expected[text] * (1 - expected[text]) / draws) ** 0.5
            assert texts.count(text) / draws == pytest.approx(expected[text], abs=4 * spread + 0.002)


def next_texts(model, prefix, temperature):
    """The chance of each text that one more token can be; several tokens may be the same text."""
    import torch

    ids = torch.tensor(model.encode_begun(QUESTION, [prefix], add_generation_prompt=True))
    with torch.inference_mode():
        chances = (model.network(ids).logits[0, -1] / temperature).softmax(-1).tolist()
    found = {}
    for token, chance in enumerate(chances):
        text = model.tokenizer.decode([token], skip_special_tokens=True)
        found[text] = found.get(text, 0) + chance
    return found


@pytest.mark.parametrize("sampling", [Sampling(0), Sampling(1.0), Sampling(0.7, top_p=0.8), Sampling(1.3, top_k=5)])
def test_rows_are_drawn_together_as_they_would_be_alone(sampling):
    import torch

    logits = torch.randn(6, 50, generator=torch.Generator().manual_seed(0))
    alone = [pick(line, sampling, make_generator(5, at, "cpu")).item() for at, line in enumerate(logits)]
    assert pick_rows(logits, sampling, [make_generator(5, at, "cpu") for at in range(6)]).tolist() == alone


def test_a_stop_string_ends_a_row_and_is_not_part_of_it(model):
    whole = run(model, job(model, [(QUESTION, PREFIXES)])).texts[0]
    stop = whole[1][0][2:4]
    cut = run(model, job(model, [(QUESTION, PREFIXES)], stop=[stop]))
    assert cut.texts[0][1][0] == whole[1][0].split(stop)[0] and cut.reasons[0][1][0] == "stop"
    assert all(stop not in text for prefix in cut.texts[0] for text in prefix)


def ask(server, items=None, **settings):
    items = items or [{"messages": QUESTION, "prefixes": PREFIXES}]
    body = {"model": "tiny", "items": items, "max_tokens": 12, "temperature": 0} | settings
    return server.http.post("/v1/rollouts", json=body)


def test_the_route_answers_in_the_shape_of_what_was_asked(server, model):
    items = [{"messages": messages, "prefixes": prefixes} for messages, prefixes in many(2)]
    said = ask(server, [*items, {"messages": QUESTION, "prefixes": [""]}], n=3).json()
    assert [[len(texts) for texts in item] for item in said["texts"]] == [[3] * 5, [3] * 5, [3]]
    assert said["texts"][2][0][0] == server.answer() == generated(model, QUESTION, "")
    assert {reason for item in said["finish_reasons"] for prefix in item for reason in prefix} <= {"stop", "length"}
    assert said["usage"]["prompt_tokens_details"]["cached_tokens"] > said["usage"]["prompt_tokens"] / 2


def test_a_prefix_goes_on_as_a_chat_whose_last_message_is_continued(server):
    prefix = "The sky is blue"
    begun = [*QUESTION, {"role": "assistant", "content": prefix}]
    assert ask(server, [{"messages": QUESTION, "prefixes": [prefix]}]).json()["texts"][0][0][0] == server.answer(
        messages=begun, continue_final_message=True
    )


BAD = [
    ({"items": []}, "items"),
    ({"items": "all"}, "items"),
    ({"items": [{"messages": QUESTION}]}, "items[0].prefixes"),
    ({"items": [{"messages": QUESTION, "prefixes": []}]}, "items[0].prefixes"),
    ({"items": [{"messages": QUESTION, "prefixes": ["", 3]}]}, "items[0].prefixes[1]"),
    ({"items": [{"messages": QUESTION, "prefixes": ["\ud800"]}]}, "items[0].prefixes[0]"),
    ({"items": [{"messages": [], "prefixes": [""]}]}, "items[0].messages"),
    (
        {"items": [{"messages": [*QUESTION, {"role": "assistant", "content": "x"}], "prefixes": [""]}]},
        "items[0].messages",
    ),
    ({"n": 0}, "n"),
    ({"temperature": 3}, "temperature"),
    ({"items": [{"messages": QUESTION, "prefixes": [""] * 1000}], "n": 128}, "items"),
    ({"max_tokens": 4096}, "items[0].prefixes[0]"),
    ({"model": "reward"}, "model"),
]


@pytest.mark.parametrize("settings, param", BAD)
def test_what_cannot_be_done_is_refused_by_name(server, settings, param):
    import json

    body = {"model": "tiny", "items": [{"messages": QUESTION, "prefixes": [""]}]} | settings
    reply = server.http.post("/v1/rollouts", content=json.dumps(body))
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


def test_a_chat_is_answered_while_many_rollouts_run(server):
    long = [{"messages": messages, "prefixes": prefixes * 4} for messages, prefixes in many(16)]
    ended = []
    thread = threading.Thread(target=lambda: (ask(server, long, n=4, max_tokens=64, temperature=1), ended.append(1)))
    thread.start()
    server.wait_until(lambda: server.model().get("running"))
    began = time.monotonic()
    server.chat(max_tokens=4)
    quick, before = time.monotonic() - began, not ended
    thread.join()
    assert before and time.monotonic() - began > 2 * quick


def test_a_client_that_leaves_frees_the_model(server):
    import httpx

    long = [{"messages": messages, "prefixes": prefixes * 8} for messages, prefixes in many(24)]
    with pytest.raises(httpx.ReadTimeout):
        body = {"model": "tiny", "items": long, "max_tokens": 500, "n": 8}
        server.http.post("/v1/rollouts", json=body, timeout=0.5)
    server.wait_until(lambda: not server.model().get("running"))
    assert ask(server).status_code == 200


def test_a_fault_ends_the_requests_it_touched_and_no_other(server, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Rollouts, "step", lambda self: 1 / 0)
        reply = ask(server)
    assert reply.status_code == 500 and "ZeroDivisionError" in reply.json()["error"]["message"]
    assert ask(server).status_code == 200
