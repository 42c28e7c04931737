"""Rewards are read from text, say why, and fail loudly: a broken one never becomes a number somebody learns from."""

import json
import time

import pytest

from training import puzzles
from training.rewards import REWARDS, Mix, RewardFailed, parse, written
from training.sandbox import runtime, why_not


def score(text: str, completion: str, prompt: str = "p", resolve=None, **row):
    """One completion's Scored."""
    return Mix(parse(text), resolve)([prompt], [completion], **{name: [value] for name, value in row.items()})[0]


def value(text: str, completion: str, **row):
    return next(iter(score(text, completion, **row).parts.values()))


@pytest.mark.parametrize(
    ("text", "about"),
    [
        ("", "names no reward"),
        (" ; ;", "names no reward"),
        ("mth 1", "Is it math"),
        ("math 1 2", "put ; between"),
        ("math one", "neither a weight"),
        ("math nan", "other than 0"),
        ("math 0", "other than 0"),
        ("math:x", "nothing after a colon"),
        ("length targt=3", "It knows target"),
        ("length target=few", "whole number"),
        ("length target=5 limit=3", "more than target"),
        ("length target=5 target=6", "given twice"),
        ("prm:a aggregate=max", "one of min, prod"),
        ("reward_model 1", "needs a model version"),
        ("language:klingon", "name one of en"),
        ('regex pattern="a', "never closed"),
    ],
)
def test_a_wrong_list_says_which_part_is_wrong(text, about):
    with pytest.raises(ValueError, match=about):
        parse(text)


def test_a_list_reads_back_as_it_was_written():
    text = (
        "math 1 marked=yes; regex 0.5 pattern='a \"b\"; \\d+'\nprm:steps-v2 -2 aggregate=last;; length -0.1 target=20"
    )
    parts = parse(text)
    assert [part.label for part in parts] == ["math", "regex", "prm:steps-v2", "length"]
    assert parts[1].options == {"pattern": 'a "b"; \\d+'} and parts[3].weight == -0.1
    assert parse(written(parts)) == parts


def test_every_reward_and_option_is_explained():
    for kind in REWARDS.values():
        assert len(kind.help) > 20 and all(option.help for option in kind.options.values())


def test_the_total_is_the_weighted_sum_of_what_applies():
    found = score("math 2; format 0.5; exact 3", "<think>so</think><answer>4</answer>", reference="4")
    assert found.parts == {"math": 1.0, "format": 1.0, "exact": 1.0} and found.total == 5.5
    found = score("math 2; format 0.5", "<think>so</think><answer>4</answer>")
    assert found.parts["math"] is None and found.total == 0.5 and "no reference" in found.why["math"]
    assert score("math", "4").total is None


def test_completions_may_be_texts_messages_or_blocks():
    mix = Mix(parse("math"))
    said = ["#### 4", [{"role": "assistant", "content": "#### 4"}], [{"content": [{"type": "text", "text": "#### 4"}]}]]
    assert [one.total for one in mix(["p"] * 3, said, reference=["4"] * 3, trainer_state=object())] == [1.0] * 3


def test_math_tells_the_format_from_the_value():
    assert score("math", r"\boxed{5}", reference="4").why["math"].startswith("Value")
    assert score("math", "I do not know", reference="4").why["math"].startswith("Format")
    assert value("math", "so it is 4", reference="4") == 1.0
    assert value("math marked=yes", "so it is 4", reference="4") == 0.0
    assert value("math marked=yes", "<think>5</think><answer>4</answer>", reference="4") == 1.0
    assert value("math", "<think>It must be 4</think><answer>5</answer>", reference="4") == 0.0


@pytest.mark.parametrize(
    ("completion", "right"),
    [
        ("<think>a</think><answer>b</answer>", 1),
        (" <think>a</think>\n\n<answer>b</answer>\n", 1),
        ("<think>a</think>b", 0),
        ("<answer>b</answer><think>a</think>", 0),
        ("<think></think><answer>b</answer>", 0),
        ("<think> </think><answer>b</answer>", 0),
        ("hm <think>a</think><answer>b</answer>", 0),
        ("<think>a<think>b</think></think><answer>c</answer>", 0),
        ("<think>a</think><answer>b</answer><answer>c</answer>", 0),
        ("", 0),
    ],
)
def test_format_wants_each_tag_once_in_order_with_text_in_it(completion, right):
    assert value("format", completion) == right


def test_format_knows_other_tags_and_answers_without_one():
    assert value("format think=reason answer=''", "<reason>x</reason> The answer.") == 1
    assert value("format answer=''", "<think>x</think>  ") == 0


def test_patterns_and_schemas_say_what_is_missing():
    assert value(r"regex pattern='\d+'", "in 1999") == 1 and value(r"regex pattern='\d+' whole=yes", "in 1999") == 0
    assert value("regex", "abc", pattern="b") == 1 and value("regex", "abc") is None
    schema = json.dumps({"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}})
    assert value("json_schema", 'Here:\n```json\n{"a": 1}\n```', schema=schema) == 1
    wrong = score("json_schema", '{"a": "1"}', schema=schema)
    assert wrong.total == 0 and "$.a" in wrong.why["json_schema"]
    assert "no JSON" in score("json_schema", "{", schema=schema).why["json_schema"]
    assert value("json_schema", "[1]") == 1


def test_a_pattern_that_never_ends_is_no_match_and_the_next_one_works(monkeypatch):
    from training.rewards import patterns

    monkeypatch.setattr(patterns, "CHECKER", patterns.Checker())
    monkeypatch.setattr(patterns, "DEADLINE", 0.5)
    begun = time.monotonic()
    assert "not decided" in patterns.CHECKER.regex("(a+)+$", "a" * 40 + "b")
    assert time.monotonic() - begun < 5
    assert patterns.CHECKER.regex("a", "a") == ""
    patterns.CHECKER.end()


def test_a_schema_fetches_nothing():
    schema = json.dumps({"$ref": "http://127.0.0.1:9/schema.json"})
    assert "cannot be checked" in score("json_schema", "1", schema=schema).why["json_schema"]


def test_overlong_answers_lose_on_a_line_and_no_more_than_all():
    values = [value("length -1 target=10 limit=20", "word " * count) for count in (0, 10, 15, 20, 99)]
    assert values == [0, 0, 0.5, 1, 1]
    assert value("length unit=tokens", "abc", completion_ids=[1, 2, 3, 4]) == 4
    assert value("length unit=tokens", "abc") is None and value("length unit=characters", "abc") == 3


def test_repetition_and_language_see_what_they_should():
    assert value("repetition", "yes it is " * 50) > 0.9 and value("repetition", "each word here stands once only") == 0
    english, german = (
        "This is the answer that we have to give you.",
        "Das ist die Antwort, die wir nicht haben und auch",
    )
    assert value("language:en", english) > 0.9 > 0.5 > value("language:en", german)
    assert (
        value("language:de", german) > 0.9 and value("language:zh", english) == 0 and value("language:en", "42") is None
    )


@pytest.mark.parametrize("kind", ["water_jugs", "river_crossing", "hanoi"])
def test_made_puzzles_are_solved_by_their_solution_and_by_nothing_shorter(kind):
    made = list(puzzles.rows(kind, 5, seed=1))
    assert len({json.dumps(row["metadata"]) for row in made}) == 5
    for row in made:
        puzzle = row["metadata"]["puzzle"]
        assert value("logic", f"<think>…</think><answer>{row['reference']}</answer>", puzzle=puzzle) == 1
        assert value("logic", row["reference"], puzzle=json.dumps(puzzle)) == 1
        assert value("logic", "\n".join(row["reference"].splitlines()[:-1]), puzzle=puzzle) == 0
        assert value("logic", "solved", puzzle=puzzle) == 0


def test_a_puzzle_refuses_illegal_moves_and_says_which():
    feud = {
        "kind": "river_crossing",
        "items": ["wolf", "goat", "cabbage"],
        "feuds": [["wolf", "goat"], ["goat", "cabbage"]],
    }
    found = score("logic", "take goat\ntake wolf", puzzle=feud)
    assert found.total == 0 and "Move 2" in found.why["logic"]
    assert "names its kind" in score("logic", "x", puzzle={"kind": "chess"}).why["logic"]
    assert value("logic", "x", puzzle={"kind": "hanoi", "discs": 99}) is None


def test_puzzles_of_reasoning_gym_are_scored_by_it():
    gym = pytest.importorskip("reasoning_gym", reason="reasoning-gym is not installed")
    entry = gym.create_dataset("knights_knaves", size=1, seed=3)[0]
    puzzle = {"kind": "reasoning_gym", "dataset": "knights_knaves", "entry": entry}
    assert value("logic", f"<answer>{entry['answer']}</answer>", puzzle=puzzle) == 1
    assert value("logic", "<answer>nobody</answer>", puzzle=puzzle) < 1
    evaluating = {"kind": "reasoning_gym", "dataset": "countdown", "entry": entry}
    assert "evaluate" in score("logic", "1", puzzle=evaluating).why["logic"]


def test_without_reasoning_gym_its_puzzles_do_not_apply():
    puzzle = {"kind": "reasoning_gym", "dataset": "no_such", "entry": {"question": "", "answer": ""}}
    assert value("logic", "1", puzzle=puzzle) is None


@pytest.mark.skipif(bool(why_not()), reason=f"no sandbox here: {why_not()}")
def test_code_is_judged_by_the_tests_of_its_row():
    program = "Here it is:\n```python\ndef f(x):\n    return x if x < 2 else 0\n```"
    tests = [{"call": "f(1)", "returns": "1"}, {"call": "f(2)", "returns": "2"}]
    assert value("code", program, tests=tests) == 0 and value("code partial=yes", program, tests=tests) == 0.5
    assert value("code", program, tests="assert f(1) == 1") == 1
    assert value("code", program, tests=None) is None


@pytest.mark.skipif(bool(why_not()), reason=f"no sandbox here: {why_not()}")
def test_a_prompt_that_begins_the_program_is_part_of_it():
    prompt = [{"role": "user", "content": 'def half(x):\n    return x / 2\n\n\ndef f(x):\n    """Double x."""\n'}]
    row = {"tests": "def check(candidate):\n    assert half(candidate(4)) == 4\n", "entry_point": "f"}
    for completion in ("    return 2 * x\n", "```python\ndef f(x):\n    return 2 * x\n```", "def f(x): return 2 * x"):
        assert score("code", completion, prompt=prompt, **row).total == 1
    assert score("code", "    return x", prompt=prompt, **row).total == 0


def test_code_refuses_to_run_where_no_sandbox_works(monkeypatch):
    monkeypatch.setattr(runtime, "why_not", lambda: "It is forbidden here.")
    assert parse("code 1")  # the list itself is right
    with pytest.raises(runtime.NoSandbox, match="It is forbidden here.*Install one"):
        Mix(parse("code 1"))


def learned(answer):
    """A resolve whose every model answers like this."""
    return lambda name, argument: answer


def test_models_are_asked_through_resolve_with_their_options():
    asked = []

    def model(prompts, completions, aggregate="min", **columns):
        asked.append((aggregate, columns))
        return [0.25] * len(prompts)

    found = score("prm:steps-v1 2 aggregate=last", "a", resolve=learned(model), reference="4")
    assert found.total == 0.5 and asked == [("last", {"reference": ["4"]})]
    with pytest.raises(RewardFailed, match="reward_model:x-v1"):
        Mix(parse("reward_model:x-v1"))


@pytest.mark.parametrize(
    ("answer", "about"),
    [
        ([1.0], "1 values for 2"),
        ("11", "returned a str"),
        (None, "NoneType"),
        (["1", "2"], "the text"),
        ([[], {}], "list"),
    ],
)
def test_what_is_no_list_of_numbers_ends_the_run_and_names_the_reward(answer, about):
    mix = Mix(parse("reward_model:taste-v1"), learned(lambda prompts, completions, **_: answer))
    with pytest.raises(RewardFailed, match=f"reward_model:taste-v1.*{about}"):
        mix(["p"] * 2, ["a", "b"])


def test_nan_leaves_that_completion_without_a_total_and_the_others_alone():
    mix = Mix(parse("reward_model:m-v1; format"), learned(lambda prompts, completions, **_: [float("nan"), 1.0, None]))
    found = mix(["p"] * 3, ["a"] * 3)
    assert [one.total for one in found] == [None, 1.0, 0.0]
    assert "nan" in found[0].why["reward_model:m-v1"] and found[0].parts["reward_model:m-v1"] is None


def test_a_reward_that_raises_is_forgiven_twice_and_a_success_in_between_counts():
    def model(prompts, completions, **_):
        turns.append(1)
        if len(turns) in (1, 2, 4, 5, 6):
            raise OSError("no route")
        return [1.0] * len(prompts)

    turns: list[int] = []
    mix = Mix(parse("math; orm:m-v1 1"), learned(model))
    ask = lambda: mix(["p"], ["4"], reference=["4"])[0]  # noqa: E731
    assert [ask().total for _ in range(5)] == [None, None, 2.0, None, None]
    with pytest.raises(RewardFailed, match="orm:m-v1 raised OSError: no route, 3 times"):
        ask()


def test_a_reward_that_hangs_is_left_behind_and_not_asked_again():
    calls = []

    def model(prompts, completions, **_):
        calls.append(1)
        time.sleep(3)
        return [1.0]

    mix, begun = Mix(parse("orm:m-v1"), learned(model), patience=0.1), time.monotonic()
    first, second = mix(["p"], ["a"])[0], mix(["p"], ["a"])[0]
    assert "took more than 0.1 s" in first.why["orm:m-v1"] and "not come back" in second.why["orm:m-v1"]
    with pytest.raises(RewardFailed):
        mix(["p"], ["a"])
    assert len(calls) == 1 and time.monotonic() - begun < 2


def test_two_rewards_of_one_name_are_kept_apart():
    found = score("regex pattern=a; regex 2 pattern=b", "b")
    assert found.parts == {"regex": 0.0, "regex#2": 1.0} and found.total == 2


@pytest.fixture
def service(monkeypatch):
    """A service on this machine that answers what it is told to, and remembers what it was asked."""
    import http.server
    import threading

    class Handler(http.server.BaseHTTPRequestHandler):
        answer, asked = b"{}", []

        def do_POST(self):
            self.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.answer)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("PRIVATE_ENDPOINTS", "1")
    Handler.asked = []
    yield Handler, f"http://127.0.0.1:{server.server_port}/score"
    server.shutdown()


def test_a_service_is_sent_the_rows_and_its_numbers_count(service):
    handler, url = service
    handler.answer = b'{"rewards": [0.25, null]}'
    found = Mix(parse(f"endpoint:{url} 2"))(["p", "q"], ["a", "b"], reference=["1", "2"], state=object())
    assert [one.total for one in found] == [0.5, None]
    assert handler.asked == [{"reference": ["1", "2"], "prompts": ["p", "q"], "completions": ["a", "b"]}]


@pytest.mark.parametrize("answer", [b"[]", b"no", b'{"rewards": [1]}', b'{"rewards": "11"}'])
def test_a_service_that_answers_nonsense_is_a_failure_that_names_it(service, answer):
    service[0].answer = answer
    found = Mix(parse(f"endpoint:{service[1]}"))(["p", "q"], ["a", "b"])
    assert found[0].total is None and "should answer with" in next(iter(found[0].why.values()))


def test_a_service_in_this_network_is_asked_only_where_that_is_allowed(service, monkeypatch):
    monkeypatch.delenv("PRIVATE_ENDPOINTS")
    why = score(f"endpoint:{service[1]}", "a").why
    assert "private address" in next(iter(why.values())) and service[0].asked == []
    for address in ("ftp://x.example", "http://user:secret@x.example", "file:///etc/passwd", "http://x:port"):
        with pytest.raises(ValueError, match="address"):
            parse(f"endpoint:{address}")


PIECES = [
    "```x\n",
    "~~~\n",
    "<answer>",
    "</think>",
    "\\boxed{",
    "$",
    "**",
    "\\(",
    "\n",
    "#### ",
    "(A)",
    "1,",
    "the answer is\n",
    "{",
]


@pytest.mark.parametrize("piece", PIECES)
def test_what_a_collapsed_policy_repeats_does_not_slow_its_judge(piece):
    """Matching holds the interpreter, so no timeout would help: the time must not grow with the square of the text."""
    from training.rewards.checks import json_schema, logic, math, tags
    from training.sandbox.cases import source_of

    puzzle = {"kind": "hanoi", "discs": 3}
    begun = time.process_time()
    for before in ("", "the answer is ", "\\boxed{", "#### "):
        text = before + piece * (20_000 // len(piece)) + "x"
        for make in (math, tags, logic, json_schema):
            make()(["p"], [text], reference=["4"], puzzle=[puzzle])
        source_of(text, "def f():\n    'x'\n", "f")
    assert time.process_time() - begun < 2
