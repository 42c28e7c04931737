"""Reading what a training writes, line by line, and noticing when it goes wrong."""

import json
import random

import pytest

from annotation.store import store
from training.alarms import Watch
from training.follow import Follower
from training.tail import Tail, last_bytes, parse

pytest_plugins = ["tests.training.pages"]


def line(step, **values):
    return json.dumps({"step": step, "total": 9, "time": 1.0, "eta": None, "values": values}) + "\n"


def steps_of(piece):
    return [(number, record["step"]) for number, record in piece.rows]


def test_a_line_is_read_when_it_is_whole_and_only_once(tmp_path):
    path, tail = tmp_path / "metrics.jsonl", Tail(tmp_path / "metrics.jsonl")
    assert tail.peek().rows == []
    path.write_text(line(1) + line(2)[:10])
    piece = tail.peek()
    assert steps_of(piece) == [(0, 1)] == steps_of(tail.peek())  # not stored yet: read again
    tail.advance(piece)
    assert tail.peek().rows == []
    path.write_text(line(1) + line(2))
    assert steps_of(tail.peek()) == [(1, 2)]


def test_a_torn_line_keeps_its_number_and_a_new_follower_goes_on_behind_it(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(line(1) + '{"step": 2, "to\n' + line(3))
    assert steps_of(Tail(path).peek()) == [(0, 1), (2, 3)]
    assert steps_of(Tail(path, 2).peek()) == [(2, 3)]


def test_a_long_file_comes_in_pieces(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(line(n, loss=0.5) for n in range(20_000)))
    tail, seen, pieces = Tail(path), [], 0
    while True:
        piece = tail.peek()
        seen += steps_of(piece)
        tail.advance(piece)
        pieces += 1
        if not piece.more:
            break
    assert pieces > 2 and seen == [(n, n) for n in range(20_000)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "1",
        '{"step": "x", "values": {}}',
        '{"step": -1}',
        '{"step": 1e99}',
        '{"step": 1, "values": 3}',
        "\x00",
    ],
)
def test_what_is_no_record_is_passed_over(text):
    assert parse(text.encode()) is None


def test_nothing_a_database_refuses_gets_through():
    record = parse(b'{"step": 1, "eta": NaN, "total": "many", "values": {"loss": NaN, "a\\u0000b": "\\ud800"}}')
    assert record["eta"] is None and record["total"] == 0
    assert record["values"] == {"loss": "NaN", "a\ufffdb": "?"}


def test_the_end_of_a_log_begins_with_a_whole_line(tmp_path):
    path = tmp_path / "log.txt"
    path.write_text("".join(f"line {n} é\n" for n in range(1000)))
    text = last_bytes(path, 100)
    assert len(text.encode()) <= 100 and text.startswith("line ") and text.endswith("line 999 é\n")
    assert last_bytes(tmp_path / "none", 100) == ""


def watch(series, **more):
    """Alarms over a run whose n-th line has the values series(n)."""
    watching, found = Watch(), []
    for n in range(120):
        found += watching.feed(n, series(n))
    return {alarm["kind"]: alarm for alarm in found}


def noise(seed=0, size=1.0):
    draw = random.Random(seed)
    return lambda: draw.uniform(-size, size)


def test_a_healthy_run_raises_no_alarm():
    n = noise()
    healthy = watch(
        lambda step: {
            "loss": 0.69 - 0.003 * step + 0.05 * n(), "rewards/accuracies": min(1, 0.5 + step / 100 + 0.2 * n()),
            "logps/chosen": -60 + 20 * n(), "logps/rejected": -60 - 0.2 * step + 20 * n(),
        }
    )  # fmt: skip
    assert healthy == {}


def test_both_log_probabilities_falling_is_an_alarm_and_one_is_not():
    n = noise()
    both = watch(lambda s: {"logps/chosen": -60 - 0.4 * s + 8 * n(), "logps/rejected": -60 - 0.6 * s + 8 * n()})
    assert list(both) == ["logps_falling"] and "nats" in both["logps_falling"]["message"]
    assert watch(lambda s: {"logps/chosen": -60 + 0.1 * s, "logps/rejected": -60 - 0.6 * s}) == {}


@pytest.mark.django_db
def test_a_run_that_held_out_pairs_show_to_learn_is_no_longer_called_stuck(make_job, write_run):
    job = make_job(recipe_name="reward_model", status="running", worker="w")
    stuck = "".join(line(step, accuracy=0.5) for step in range(1, 46))
    follower = None
    for more, alarms in ((line(46, eval_accuracy=0.52), ["chance"]), (line(47, eval_accuracy=0.7), [])):
        stuck += more
        write_run(job, metrics__jsonl=stuck)
        follower = follower or Follower(job, store().work(job.run_dir))
        follower.read(everything=True)
        job.refresh_from_db()
        assert [alarm["kind"] for alarm in job.alarms] == alarms


@pytest.mark.parametrize("seed", range(20))
def test_batches_of_few_pairs_do_not_make_a_run_that_learns_look_stuck(seed):
    draw = random.Random(seed)

    def of_four(share):
        return {"accuracy": sum(draw.random() < share for _ in range(4)) / 4}

    assert "chance" not in watch(lambda step: of_four(min(0.68, 0.5 + step / 150)))
    assert "chance" in watch(lambda _: of_four(0.5))


def test_an_accuracy_stuck_at_chance_is_an_alarm():
    n = noise()
    stuck = watch(lambda s: {"accuracy": 0.5 + 0.25 * n()})
    assert stuck["chance"]["step"] >= 39 and "chance is 0.50" in stuck["chance"]["message"]


def test_a_model_that_calls_no_step_bad_is_an_alarm_where_bad_steps_are():
    n = noise()
    blind = watch(lambda s: {"called_bad": 0.01 + 0.005 * n(), "labeled_bad": 0.2 + 0.1 * n(), "step_accuracy": 0.8})
    assert list(blind) == ["names_no_step"] and blind["names_no_step"]["step"] >= 39
    assert "20" in blind["names_no_step"]["message"] and "bad_step_weight" in blind["names_no_step"]["advice"]
    assert watch(lambda s: {"called_bad": 0.1, "labeled_bad": 0.2}) == {}
    assert watch(lambda s: {"called_bad": 0.0, "labeled_bad": 0.0}) == {}


def test_a_loss_that_climbs_is_an_alarm_and_a_spike_is_not():
    assert "diverging" in watch(lambda s: {"loss": 0.7 if s < 40 else 0.7 + 0.05 * (s - 40)})
    assert watch(lambda s: {"loss": 5.0 if s == 50 else 0.7}) == {}


def test_an_alarm_is_said_once_even_by_the_next_follower():
    first = Watch()
    assert [a["kind"] for a in first.feed(3, {"loss": "Infinity"})] == ["nan"]
    assert first.feed(4, {"loss": "NaN"}) == [] and Watch({"nan"}).feed(5, {"loss": "NaN"}) == []
