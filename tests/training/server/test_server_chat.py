"""Chat completions over HTTP: the same answer alone, in a batch and streamed; stops, seeds, log-probs, Unicode."""

import json
import math
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.tiny import tiny_tokenizer

pytestmark = pytest.mark.training
TOPICS = ["rain", "why the sky is blue", "a short, friendly answer", "x" * 150, "Paris", "no", "the capital of Peru?"]


def events(lines) -> list[dict]:
    data = [line.removeprefix("data: ") for line in lines if line]
    assert data.pop() == "[DONE]"
    return [json.loads(event) for event in data]


def streamed(server, text: str = "rain", **settings) -> list[dict]:
    body = {"model": "tiny", "messages": [{"role": "user", "content": text}], "max_tokens": 12, "stream": True}
    with server.http.stream("POST", "/v1/chat/completions", json=body | settings) as reply:
        assert reply.status_code == 200, reply.read()
        return events(reply.iter_lines())


def text_of(chunks: list[dict], index: int = 0) -> str:
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]
    return "".join(delta.get("content", "") for delta in deltas)


def test_a_greedy_answer_is_what_transformers_generates(server, models):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(models / "tiny")
    network = AutoModelForCausalLM.from_pretrained(models / "tiny")
    for topic in TOPICS:
        chat = [{"role": "user", "content": topic}]
        prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        made = network.generate(**prompt, max_new_tokens=30, do_sample=False)[0, prompt["input_ids"].shape[1] :]
        assert server.answer(topic, max_tokens=30) == tokenizer.decode(made, skip_special_tokens=True)


@pytest.mark.parametrize(
    "settings", [{}, {"temperature": 1}, {"temperature": 1.3, "top_p": 0.9}, {"temperature": 0.8, "top_k": 20}]
)
def test_an_answer_is_the_same_alone_and_in_a_batch(server, settings):
    settings = {"max_tokens": 40} | settings
    alone = [server.answer(topic, seed=i, **settings) for i, topic in enumerate(TOPICS)]
    with ThreadPoolExecutor(len(TOPICS)) as pool:
        together = list(pool.map(lambda it: server.answer(it[1], seed=it[0], **settings), enumerate(TOPICS)))
    assert together == alone
    assert len(set(alone)) == len(TOPICS)


def test_sixteen_at_once_are_decoded_together(server):
    before = server.app.state.engine.turns
    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda i: server.chat(f"question {i}", temperature=1, max_tokens=64), range(16)))
    assert [reply.status_code for reply in replies] == [200] * 16
    steps = server.app.state.engine.turns - before
    assert steps < 5 * 64  # one after the other they would take about sixteen times 64


def test_rows_that_join_and_leave_in_the_middle_change_no_answer(server):
    def ask(i: int) -> str:
        time.sleep(0.01 * (i % 5))
        return server.answer("word " * (i * 7 % 40) + str(i), temperature=0.9, seed=i, max_tokens=5 + i * 11 % 60)

    alone = [ask(i) for i in range(24)]
    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(ask, range(24))) == alone


@pytest.mark.parametrize("kind", ["mistral", "gpt2", "qwen3", "gemma2"])
def test_other_architectures_answer_as_they_do_in_transformers(serve, tmp_path, kind):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    network = AutoModelForCausalLM.from_pretrained(other_model(tmp_path / kind, kind)).eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / kind)

    def expected(topic: str) -> str:
        chat = [{"role": "user", "content": topic}]
        prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        made = network.generate(**prompt, max_new_tokens=30, do_sample=False)[0, prompt["input_ids"].shape[1] :]
        return tokenizer.decode(made, skip_special_tokens=True)

    server = serve(tmp_path)
    with ThreadPoolExecutor(len(TOPICS)) as pool:
        together = list(pool.map(lambda topic: server.answer(topic, model=kind, max_tokens=30), TOPICS))
    assert together == [expected(topic) for topic in TOPICS]


def other_model(path, kind: str):
    """A random model of another architecture; where it can have a sliding window, of 16 tokens."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = tiny_tokenizer()
    tokenizer.save_pretrained(path)
    names = {"gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 2048}}
    usual = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    usual |= {"num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 2048, "sliding_window": 16}
    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        kind, vocab_size=len(tokenizer), **names.get(kind, usual), **ids, initializer_range=0.3
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(path)
    return path


def test_a_seed_repeats_and_another_differs(server):
    one, again, other = (server.answer("rain", temperature=1, seed=seed, max_tokens=30) for seed in (5, 5, 6))
    assert one == again != other
    assert server.answer("rain", temperature=1, max_tokens=30) != server.answer("rain", temperature=1, max_tokens=30)


def test_n_completions_are_those_of_consecutive_seeds(server):
    choices = server.chat("rain", n=3, temperature=1, seed=7).json()["choices"]
    assert [choice["index"] for choice in choices] == [0, 1, 2]
    alone = [server.answer("rain", temperature=1, seed=seed) for seed in (7, 8, 9)]
    assert [choice["message"]["content"] for choice in choices] == alone


def test_more_completions_than_fit_at_once_all_arrive(server):
    reply = server.chat("rain", n=40, temperature=1, seed=1).json()
    assert len({choice["message"]["content"] for choice in reply["choices"]}) > 30
    assert reply["usage"]["completion_tokens"] <= 40 * 12


def test_the_stream_says_what_the_whole_answer_says(server):
    whole = server.chat("rain", temperature=1, seed=3, n=2).json()
    chunks = streamed(server, temperature=1, seed=3, n=2, stream_options={"include_usage": True})
    for choice in whole["choices"]:
        assert text_of(chunks, choice["index"]) == choice["message"]["content"]
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"] == whole["usage"]
    finished = [c["finish_reason"] for chunk in chunks for c in chunk["choices"] if c["finish_reason"]]
    assert finished == [choice["finish_reason"] for choice in whole["choices"]]


def test_the_first_words_arrive_before_the_last(server):
    endless = {"model": "tiny", "max_tokens": 2000, "extra_body": {"ignore_eos": True}}
    with server.openai.chat.completions.create(
        messages=[{"role": "user", "content": "rain"}], stream=True, **endless
    ) as stream:
        said = (chunk.choices[0].delta.content for chunk in stream)
        assert next(text for text in said if text)
        assert server.model()["rows"] == 1


def test_a_stop_string_ends_the_answer_before_it(server):
    whole = server.answer("rain", max_tokens=60)
    stop = whole[20:23]
    reply = server.chat("rain", max_tokens=60, stop=[stop, "never said"]).json()["choices"][0]
    assert reply["message"]["content"] == whole[: whole.index(stop)]
    assert (reply["finish_reason"], reply["stop_reason"]) == ("stop", stop)
    assert server.chat("rain", max_tokens=3, stop=["never said"]).json()["choices"][0]["stop_reason"] is None
    assert text_of(streamed(server, temperature=0, max_tokens=60, stop=stop)) == whole[: whole.index(stop)]


def test_max_tokens_is_kept_and_said(server):
    reply = server.chat("rain", max_tokens=None, max_completion_tokens=5).json()
    assert reply["usage"]["completion_tokens"] == 5
    assert reply["choices"][0]["finish_reason"] == "length"


def test_logprobs_are_the_models_own(server, models):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    reply = server.chat("rain", logprobs=True, top_logprobs=3, max_tokens=4).json()["choices"][0]
    tokenizer = AutoTokenizer.from_pretrained(models / "tiny")
    chat = [{"role": "user", "content": "rain"}]
    prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.no_grad():
        logits = AutoModelForCausalLM.from_pretrained(models / "tiny")(**prompt).logits[0, -1]
    first = reply["logprobs"]["content"][0]
    assert math.isclose(first["logprob"], logits.log_softmax(-1).max().item(), abs_tol=1e-4)
    assert [entry["logprob"] for entry in first["top_logprobs"]][0] == first["logprob"]
    assert len(reply["logprobs"]["content"]) == 4


def test_the_public_client_needs_only_an_address_and_a_key(server):
    client = server.openai
    assert "tiny" in [model.id for model in client.models.list()]
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
    ]
    whole = client.chat.completions.create(model="tiny", messages=messages, max_tokens=8, seed=1)
    pieces = client.chat.completions.create(model="tiny", messages=messages, max_tokens=8, seed=1, stream=True)
    said = "".join(piece.choices[0].delta.content or "" for piece in pieces)
    assert said == whole.choices[0].message.content
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens


@pytest.mark.parametrize("stream", [True, False])
def test_a_reader_who_leaves_frees_the_row(server, stream):
    endless = {"max_tokens": 2000, "ignore_eos": True, "stream": stream}
    body = {"model": "tiny", "messages": [{"role": "user", "content": "rain"}]} | endless
    before = server.app.state.engine.turns
    with (
        pytest.raises(httpx.ReadTimeout),
        httpx.Client(timeout=0.3) as client,
        client.stream("POST", f"{server.url}/v1/chat/completions", json=body) as reply,
    ):
        lines = reply.iter_lines()  # held, because dropping it closes the connection
        next(line for line in lines if '"content": "' in line and '""' not in line)
        assert server.model()["rows"] == 1
        raise httpx.ReadTimeout("a reader of a stream leaves while it runs")
    server.wait_until(lambda: server.model()["rows"] == server.model()["waiting"] == 0)
    assert server.app.state.engine.turns - before < 2000
