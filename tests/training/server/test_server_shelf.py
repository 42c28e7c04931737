"""Models come when asked for and leave by memory; what does not fit waits, and too many are sent away."""

import json
import shutil
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.tiny import tiny_model
from training.server.folders import Options, weights

pytestmark = pytest.mark.training


def loaded(server) -> list[str]:
    return [m["id"] for m in server.http.get("/health").json()["models"] if m["state"] == "loaded"]


def size(folder) -> int:
    return weights(folder, Options(models=folder))


@pytest.fixture
def three(tmp_path):
    """Three models of the same size, in a folder of the test's own."""
    for name in "abc":
        tiny_model(tmp_path / "models" / name)
    return tmp_path / "models"


def test_models_are_listed_with_what_they_do(server):
    listed = {model["id"]: model for model in server.http.get("/v1/models").json()["data"]}
    assert {name: model["task"] for name, model in listed.items()} == {
        "base": "chat",
        "outcome": "outcome",
        "process": "steps",
        "reward": "score",
        "team/wide": "chat",
        "tiny": "chat",
    }
    assert all(model["object"] == "model" for model in listed.values())
    assert server.chat(model="team/wide").status_code == 200


def test_a_folder_appears_without_a_restart(serve, three):
    server = serve(three)
    assert server.chat(model="d").status_code == 404
    tiny_model(three / "d")
    assert server.chat(model="d").status_code == 200
    assert "d" in [model["id"] for model in server.http.get("/v1/models").json()["data"]]


def test_weights_that_change_on_disk_are_read_again(serve, three, models):
    server = serve(three)
    before = server.answer("rain", model="a")
    shutil.copytree(models / "tiny", three / "a", dirs_exist_ok=True)
    assert server.answer("rain", model="a") != before
    assert loaded(server) == ["a"]


def test_the_least_recently_used_model_leaves_when_memory_is_short(serve, three):
    server = serve(three, memory=int(2.5 * size(three / "a")))
    for model in "abac":
        assert server.chat(model=model).status_code == 200
    assert sorted(loaded(server)) == ["a", "c"]
    memory = server.http.get("/health").json()["memory"]
    assert memory["used"] <= memory["budget"]


def test_a_model_larger_than_the_memory_is_refused_clearly(serve, three):
    reply = serve(three, memory=1000).chat(model="a")
    assert reply.status_code == 413
    assert reply.json()["error"]["code"] == "model_too_large"


def test_busy_models_wait_for_each_other_and_none_fails(serve, three):
    server = serve(three, memory=int(1.5 * size(three / "a")))
    with ThreadPoolExecutor(12) as pool:
        replies = list(pool.map(lambda i: server.chat(model="abc"[i % 3], max_tokens=50), range(24)))
    assert [reply.status_code for reply in replies] == [200] * 24
    assert len(loaded(server)) == 1


def test_many_first_requests_wait_for_one_load(serve, three, caplog):
    caplog.set_level("INFO", "training.server")
    server = serve(three)
    with ThreadPoolExecutor(8) as pool:
        assert all(reply.status_code == 200 for reply in pool.map(lambda _: server.chat(model="b"), range(8)))
    assert sum(record.message.startswith("loaded b") for record in caplog.records) == 1


def test_a_model_is_unloaded_on_request_once_it_is_idle(serve, three):
    server = serve(three)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(server.chat, model="a", max_tokens=1500, ignore_eos=True)
        server.wait_until(lambda: server.model("a").get("rows") == 1)
        assert server.http.post("/v1/unload", json={"model": "a"}).json() == {"model": "a", "running": 1}
        assert server.model("a")["state"] == "leaving"
        assert answer.result().status_code == 200
    server.wait_until(lambda: not server.model("a"))
    assert server.http.get("/health").json()["memory"]["used"] == 0
    assert server.http.post("/v1/unload", json={"model": "a"}).json() == {"model": "a", "running": 0}
    assert server.http.post("/v1/unload", json={"model": "nobody"}).status_code == 404


def test_a_model_that_left_is_truly_gone(serve, three):
    server = serve(three)
    server.chat(model="a")
    network = weakref.ref(server.app.state.shelf.entries[0].lane.model.network)
    server.http.post("/v1/unload", json={"model": "a"})
    server.wait_until(lambda: network() is None)


def test_past_a_full_queue_readers_are_sent_away_for_a_moment(serve, three):
    server = serve(three, rows=1, queue=2)
    body = {"model": "a", "messages": [{"role": "user", "content": "rain"}], "max_tokens": 1900, "ignore_eos": True}
    leave = threading.Event()

    def read(_):
        with server.http.stream("POST", "/v1/chat/completions", json=body | {"stream": True}) as reply:
            lines = reply.iter_lines()  # held, because dropping it closes the connection
            next(lines)
            leave.wait(30)

    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(read, 0)
        server.wait_until(lambda: server.model("a").get("rows") == 1)
        others = [pool.submit(read, i) for i in (1, 2)]
        server.wait_until(lambda: server.model("a")["waiting"] == 2)
        reply = server.chat(model="a")
        leave.set()
        [done.result() for done in (first, *others)]
    assert reply.status_code == 503
    assert int(reply.headers["retry-after"]) > 0
    assert reply.json()["error"]["code"] == "queue_full"
    server.wait_until(lambda: server.model("a")["waiting"] == 0)
    assert server.chat(model="a").status_code == 200


@pytest.mark.parametrize(
    "name", ["../outside", "a/../../outside", "/etc", "nobody", "a\0", "link", ".", "x" * 5000, "a/config.json"]
)
def test_names_of_nothing_that_is_offered_are_unknown(serve, three, name):
    tiny_model(three.parent / "outside")
    (three / "link").symlink_to(three.parent / "outside")
    server = serve(three)
    for reply in (server.chat(model=name), server.chat(model=str(three.parent / "outside"))):
        assert reply.status_code == 404
        assert reply.json()["error"]["code"] == "model_not_found"


def test_a_folder_that_was_allowed_can_be_named_by_its_path(serve, three):
    outside = tiny_model(three.parent / "runs" / "7" / "model")
    server = serve(three, allowed=(three.parent / "runs",))
    assert server.chat(model=str(outside)).status_code == 200
    assert server.chat(model=str(three / "a")).status_code == 200


def test_pickled_weights_are_never_loaded(serve, three):
    (three / "b" / "model.safetensors").rename(three / "b" / "pytorch_model.bin")
    reply = serve(three).chat(model="b")
    assert reply.status_code == 400
    assert reply.json()["error"]["code"] == "not_safetensors"


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_broken_folder_is_one_clear_error_and_can_be_mended(serve, three, file):
    good = (three / "b" / file).read_bytes()
    (three / "b" / file).write_bytes(good[: len(good) // 3])
    server = serve(three)
    for _ in range(2):
        reply = server.chat(model="b")
        assert reply.status_code in (400, 500)
        assert "b" in reply.json()["error"]["message"]
    (three / "b" / file).write_bytes(good)
    assert server.chat(model="b").status_code == 200
    assert server.http.get("/health").json()["memory"]["used"] == size(three / "b")


def test_code_in_a_folder_is_never_run(serve, three):
    config = json.loads((three / "b" / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Model"}}
    (three / "b" / "config.json").write_text(json.dumps(config))
    (three / "b" / "mine.py").write_text("import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n")
    assert serve(three).chat(model="b").status_code == 500
    assert not (three / "b" / "ran").exists()
