"""Trainings rewarded by a service over HTTP: asked in every step, away for a moment, away for good."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.training.recipes.conftest import curve, metrics, rollouts, train_here
from tests.training.recipes.test_ppo import QUICK, SHORT, questions
from training.recipes import scoring
from training.recipes.run import explain
from training.rewards import RewardFailed

pytestmark = pytest.mark.training
RECIPES = ("ppo", "grpo", "online_dpo")


class Service:
    """Rewards short answers: a twentieth less for every character. It is gone once it answered `lasts` requests."""

    def __init__(self):
        self.asked, self.lasts, self.port = [], None, 0
        self.start()
        self.url = f"http://127.0.0.1:{self.port}/rewards"

    def start(self):
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                service.asked.append(body)
                if service.lasts == len(service.asked):
                    service.stop()  # nobody listens any more by the time this answer is read
                said = {"rewards": [-len(one[-1]["content"]) / 20 for one in body["completions"]]}
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(said).encode())

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=[0.01], daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def service(monkeypatch):
    monkeypatch.setenv("PRIVATE_ENDPOINTS", "1")
    service = Service()
    yield service
    service.stop()


@pytest.fixture
def pauses(monkeypatch):
    """Pauses last no time; what happens in one is up to the test."""
    waited, during = [], []

    def rest(seconds):
        waited.append(seconds)
        for happens in during:
            happens()

    monkeypatch.setattr(scoring, "rest", rest)
    return waited, during


@pytest.fixture
def make_served(make_run, service):
    def make(name):
        settings = SHORT | QUICK | {"max_steps": 3, "gradient_accumulation_steps": 1, "eval_on_start": False}
        rewards = {"rewards": f"endpoint:{service.url} 2; length -0.01 unit=characters"}
        return make_run(name, list(questions()), list(questions(2)), **settings | rewards)

    return make


@pytest.mark.parametrize("name", RECIPES)
def test_a_policy_trains_on_what_a_service_answers(make_served, service, name):
    run_dir = make_served(name)
    done = train_here(run_dir)
    assert done["status"] == "succeeded" and done["step"] == 3
    assert {"prompts", "completions", "reference", "completion_ids"} == service.asked[0].keys()
    assert [turn["role"] for turn in service.asked[0]["completions"][0]] == ["assistant"]
    told = [one for group in rollouts(run_dir) for one in group["completions"]]
    assert len(told) == 96 and len({one["reward"] for one in told}) > 3
    for one in told:
        answered = -len(one["completion"]) / 20
        assert one["parts"][f"endpoint:{service.url}"] == pytest.approx(answered)
        assert one["reward"] == pytest.approx(2 * answered - 0.01 * len(one["completion"]), abs=1e-5)
    means = curve(run_dir, f"rewards/endpoint:{service.url}/mean")
    assert len(means) == 3 and means[0] < 0


@pytest.mark.parametrize("name", RECIPES)
def test_a_service_that_is_away_for_a_moment_costs_the_run_nothing(make_served, service, pauses, name):
    plain = make_served(name)
    train_here(plain)
    waited, during = pauses
    service.asked, service.lasts = [], 2
    during.append(service.start)
    run_dir = make_served(name)
    assert train_here(run_dir)["status"] == "succeeded"
    assert waited == [scoring.PAUSES[0]]
    assert curve(run_dir, "reward") == curve(plain, "reward") and curve(run_dir, "loss") == curve(plain, "loss")


@pytest.mark.parametrize("name", RECIPES)
def test_a_service_that_stays_away_ends_the_run_which_keeps_what_it_learned_and_goes_on(
    make_served, service, pauses, name
):
    plain = make_served(name)
    train_here(plain)
    service.asked, service.lasts = [], 2
    run_dir = make_served(name)
    with pytest.raises(RewardFailed) as failure:
        train_here(run_dir)
    assert pauses[0] == list(scoring.PAUSES)
    said = explain(failure.value)
    assert said["class"] == "reward_failed" and "resume" in said["advice"]
    assert f"{service.url} does not answer (ConnectError), 3 times in a row" in said["message"]
    assert [found.name for found in (run_dir / "checkpoints").glob("checkpoint-*")] == ["checkpoint-2"]

    service.start()
    done = train_here(run_dir)
    assert done["status"] == "succeeded" and done["step"] == 3
    steps = [line["step"] for line in metrics(run_dir) if "loss" in line["values"]]
    assert steps == [1, 2, 3]
    if name != "grpo":  # whose chance goes on from where it was
        assert curve(run_dir, "loss") == curve(plain, "loss")
