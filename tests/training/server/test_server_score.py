"""Scores over HTTP are those of the reward model itself."""

from concurrent.futures import ThreadPoolExecutor

import pytest

pytestmark = pytest.mark.training
ANSWERS = ["Paris.", "I am not sure.", "no " * 90, "The sky is blue because air scatters light.", "日本", ""]


def conversation(answer: str) -> dict:
    turns = [{"role": "user", "content": "What is the capital of France?"}, {"role": "assistant", "content": answer}]
    return {"messages": turns}


def scores(server, answers, model: str = "reward"):
    reply = server.http.post("/v1/score", json={"model": model, "items": [conversation(a) for a in answers]})
    assert reply.status_code == 200, reply.text
    return reply.json()["scores"]


@pytest.fixture(scope="module")
def direct(models):
    """Each answer's score by a forward pass of its own, without padding."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    network = AutoModelForSequenceClassification.from_pretrained(models / "reward").eval()
    tokenizer = AutoTokenizer.from_pretrained(models / "reward")

    def score(answer: str) -> float:
        ids = tokenizer.apply_chat_template(conversation(answer)["messages"], return_tensors="pt", return_dict=True)[
            "input_ids"
        ]
        with torch.no_grad():
            return network(input_ids=ids).logits.item()

    return score


def test_a_score_is_a_direct_forward_pass(server, direct):
    assert scores(server, ANSWERS) == pytest.approx([direct(answer) for answer in ANSWERS], abs=1e-4)


def test_half_precision_scores_do_not_tie(serve, models, direct):
    given = scores(serve(models, score_dtype="bfloat16"), ANSWERS)
    assert given == pytest.approx([direct(answer) for answer in ANSWERS], abs=0.3)
    assert len(set(given)) == len(ANSWERS)


def test_many_readers_get_their_own_scores(server, direct):
    with ThreadPoolExecutor(8) as pool:
        given = list(pool.map(lambda answer: scores(server, [answer, "Paris."]), ANSWERS * 3))
    expected = [[direct(answer), direct("Paris.")] for answer in ANSWERS * 3]
    assert given == [pytest.approx(pair, abs=1e-4) for pair in expected]


def test_scoring_and_chat_share_the_machine(server):
    with ThreadPoolExecutor(4) as pool:
        words = pool.submit(server.chat, "rain", max_tokens=200)
        numbers = [pool.submit(scores, server, ANSWERS * 30) for _ in range(2)]
        assert words.result().status_code == 200
        assert [len(number.result()) for number in numbers] == [180, 180]


def test_a_reward_model_without_padding_is_scored_by_equal_lengths(serve, models, tmp_path, direct):
    import json
    import shutil

    folder = shutil.copytree(models / "reward", tmp_path / "reward")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"pad_token_id": None}))
    given = scores(serve(tmp_path), ANSWERS)
    assert given == pytest.approx([direct(answer) for answer in ANSWERS], abs=1e-4)


@pytest.mark.parametrize("items", [None, [], [1], [{"messages": []}], [{"messages": [{"role": "user"}]}]])
def test_items_that_are_no_conversations_are_refused(server, items):
    reply = server.http.post("/v1/score", json={"model": "reward", "items": items})
    assert reply.status_code == 400
    assert reply.json()["error"]["param"].startswith("items")


def test_an_item_too_long_is_named_and_not_cut(server):
    items = [conversation("short"), conversation("x " * 3000)]
    reply = server.http.post("/v1/score", json={"model": "reward", "items": items})
    assert reply.status_code == 400
    assert reply.json()["error"] | {"message": ""} == {
        "message": "",
        "type": "invalid_request_error",
        "param": "items[1]",
        "code": "context_length_exceeded",
    }


def test_a_chat_model_has_no_scores_and_a_reward_model_no_answers(server):
    items = [conversation("Paris.")]
    assert server.http.post("/v1/score", json={"model": "tiny", "items": items}).json()["error"]["code"] == "wrong_task"
    assert server.chat(model="reward").json()["error"]["code"] == "wrong_task"
