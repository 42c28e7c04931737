"""Scores of steps over HTTP: those of a forward pass by hand, windows for long traces, refusals that name the item."""

from concurrent.futures import ThreadPoolExecutor

import pytest

pytestmark = pytest.mark.training
PROBLEM = [{"role": "user", "content": "What is 2 + 2 · 3?"}]
TRACES = [
    ["2 · 3 = 6.", "2 + 6 = 9.", "The answer is 9."],
    ["Eight."],
    ["A step with\n\na separator inside.", ""],
    ["word " * 20, "日本", "no " * 40, "so " * 10],
]


def ask(server, traces, model="process", **item):
    items = [{"messages": PROBLEM, "steps": steps} | item for steps in traces]
    return server.http.post("/v1/score_steps", json={"model": model, "items": items})


def scores(server, traces, model="process"):
    reply = ask(server, traces, model)
    assert reply.status_code == 200, reply.text
    return reply.json()["scores"]


def network_of(folder, kind):
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return tokenizer, getattr(transformers, f"AutoModelFor{kind}").from_pretrained(folder).eval()


def by_hand(tokenizer, steps):
    """Tokens of a trace and where its steps end, with nothing but transformers."""
    ids = tokenizer.apply_chat_template(PROBLEM, add_generation_prompt=True, return_dict=True)["input_ids"]
    ends = []
    for step in steps:
        ids += [token for text in (step, "\n\n") for token in tokenizer(text, add_special_tokens=False)["input_ids"]]
        ends.append(len(ids) - 1)
    return ids, ends


@pytest.fixture(scope="module")
def direct(models):
    import torch

    tokenizer, network = network_of(models / "process", "TokenClassification")

    def score(steps):
        ids, ends = by_hand(tokenizer, steps)
        with torch.no_grad():
            return network(torch.tensor([ids])).logits[0, ends].softmax(-1)[:, 1].tolist()

    return score


def test_every_step_has_the_score_of_a_forward_pass_by_hand(server, direct):
    assert scores(server, TRACES) == [pytest.approx(direct(steps), abs=1e-5) for steps in TRACES]


def test_an_outcome_is_scored_at_the_last_step_and_as_a_chat_alike(server, models):
    import torch

    tokenizer, network = network_of(models / "outcome", "SequenceClassification")
    found = scores(server, TRACES, "outcome")
    for steps, given in zip(TRACES, found, strict=True):
        with torch.no_grad():
            p = network(torch.tensor([by_hand(tokenizer, steps)[0]])).logits.sigmoid().item()
        assert given == [*[None] * (len(steps) - 1), pytest.approx(p, abs=1e-5)]
    chats = [{"messages": [*PROBLEM, {"role": "assistant", "content": "\n\n".join(steps)}]} for steps in TRACES[:2]]
    reply = server.http.post("/v1/score", json={"model": "outcome", "items": chats})
    assert reply.json()["scores"] == pytest.approx([trace[-1] for trace in found[:2]], abs=1e-5)


def test_a_trace_scored_as_it_grows_keeps_its_scores(server):
    steps = [f"Step {n}: " + "more " * (n % 7) for n in range(120)]  # more than one window
    whole = scores(server, [steps])[0]
    grown = [scores(server, [steps[:count]])[0] for count in (1, 30, 77)]
    for part in grown:
        assert part == pytest.approx(whole[: len(part)], abs=1e-5)


def test_five_hundred_steps_get_five_hundred_scores(server):
    found = scores(server, [[f"{n} + 1 = {n + 1}." for n in range(500)]])[0]
    assert len(found) == 500 and all(0 < p < 1 for p in found)


def test_a_step_of_twenty_thousand_characters_is_scored_by_its_end_and_said_to_be_cut(server):
    reply = ask(server, [["Short."], ["First.", "x" * 20_000, "Last."]]).json()
    assert [len(trace) for trace in reply["scores"]] == [1, 3]
    assert reply["cut"] == [{"item": 1, "step": 1}]


def test_many_readers_get_their_own_scores(server, direct):
    with ThreadPoolExecutor(8) as pool:
        given = list(pool.map(lambda steps: scores(server, [steps])[0], TRACES * 4))
    assert given == [pytest.approx(direct(steps), abs=1e-4) for steps in TRACES * 4]


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({"steps": None}, "items[0].steps"),
        ({"steps": []}, "items[0].steps"),
        ({"steps": ["a", 1]}, "items[0].steps[1]"),
        ({"steps": "a\n\nb"}, "items[0].steps"),
        ({"messages": []}, "items[0].messages"),
        ({"messages": [{"role": "user", "content": "word " * 3000}]}, "items[0]"),
    ],
)
def test_what_is_no_trace_is_refused_by_name(server, item, param):
    reply = ask(server, [["One."]], **item)
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == param


def test_each_kind_of_model_answers_on_its_own_route(server):
    for model in ("tiny", "reward"):
        assert ask(server, TRACES, model).json()["error"]["code"] == "wrong_task"
    chat = {"messages": [*PROBLEM, {"role": "assistant", "content": "8"}]}
    refused = server.http.post("/v1/score", json={"model": "process", "items": [chat]}).json()["error"]
    assert refused["code"] == "wrong_task" and "score_steps" in refused["message"]
    assert server.chat(model="process").json()["error"]["code"] == "wrong_task"
    unfinished = server.http.post("/v1/score", json={"model": "outcome", "items": [{"messages": PROBLEM}]})
    assert unfinished.json()["error"]["param"] == "items[0].messages"
    tasks = {model["id"]: model["task"] for model in server.http.get("/v1/models").json()["data"]}
    assert tasks["process"] == "steps" and tasks["outcome"] == "outcome" and tasks["reward"] == "score"
