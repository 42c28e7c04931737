"""Registering models: from a hub, a folder or an endpoint; who may, and what is refused with which reason."""

import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings

from annotation.models import Membership
from tests.reading import text
from tests.serving import TOKEN
from training import fetching, serving
from training.models import ModelVersion

pytest_plugins = ["tests.training.pages"]


@pytest.mark.parametrize("who", ["bob", "carol"])
def test_only_managers_register(as_, request, project, who):
    user = request.getfixturevalue(who)
    assert as_(user).get("/models/new/").status_code == 403
    assert as_(user).post("/models/new/", {"hub_id": "a/b"}).status_code == 403
    assert "Register a model" not in text(as_(user).get("/models/"))


def test_a_hub_id_becomes_a_model_that_is_being_fetched(as_, alice, project):
    answer = as_(alice).post("/models/new/?from=hub", {"hub_id": "owner/thing", "project": project.pk})
    model = ModelVersion.objects.get()
    assert answer.url == f"/models/{model.slug}/"
    assert (model.name, model.status, model.source, model.project) == ("thing", "fetching", "owner/thing", project)


@pytest.mark.parametrize("hub_id", ["", "a b", "https://evil.example/x", "../../etc", "a/b/c"])
def test_what_is_no_hub_id_is_refused_with_the_reason(as_, alice, project, hub_id):
    answer = as_(alice).post("/models/new/?from=hub", {"hub_id": hub_id, "project": project.pk})
    assert answer.status_code == 422 and not ModelVersion.objects.exists()
    assert ("owner/name" in text(answer)) or ("required" in text(answer))


def test_a_manager_registers_for_her_own_projects_only(as_, alice, carol, project):
    from annotation.models import Project

    other = Project.objects.create(name="Carol's")
    Membership.objects.create(project=other, user=carol, role="manager")
    for given in ("", other.pk):
        assert as_(alice).post("/models/new/?from=hub", {"hub_id": "a/b", "project": given}).status_code == 422
    assert not ModelVersion.objects.exists()


def test_a_folder_is_for_admins_and_must_hold_safetensors(as_, alice, admin, project, tmp_path):
    assert as_(alice).get("/models/new/?from=folder").status_code == 403
    assert as_(alice).post("/models/new/?from=folder", {"folder": "/"}).status_code == 403
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    answer = as_(admin).post("/models/new/?from=folder", {"folder": str(tmp_path)})
    assert answer.status_code == 422 and "Pickle" in text(answer) and not ModelVersion.objects.exists()


def test_an_admin_registers_a_folder_for_everyone(as_, admin, carol, tmp_path):
    header = json.dumps({"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}).encode()
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 24)
    (tmp_path / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    (tmp_path / "tokenizer.json").write_text("{}")
    as_(admin).post("/models/new/?from=folder", {"folder": str(tmp_path), "name": "Tiny"})
    model = ModelVersion.objects.get()
    assert (model.status, model.parameters, model.project) == ("copying", 6, None)
    assert "Copying</span>" in text(as_(carol).get("/models/"))
    page = text(as_(carol).get(f"/models/{model.slug}/"))
    assert "waiting for a worker" in page and "No worker is listening" in page and 'hx-trigger="every 2s"' in page
    ModelVersion.objects.update(metrics={"done": model.bytes // 2, "since": time.time() - 9})
    assert " left</span>" in text(as_(carol).get(f"/models/{model.slug}/"))
    assert re.search(r"Copying (49|50) %</span>", text(as_(carol).get("/models/")))
    ModelVersion.objects.update(metrics={})
    fetching.fetch_model(ModelVersion.objects.get())
    page = text(as_(carol).get(f"/models/{model.slug}/"))
    assert "Tiny" in page and "model.safetensors" in page and "hx-trigger" not in page


def test_a_folder_that_could_not_be_copied_says_why_and_an_admin_may_try_again(as_, admin, carol, make_model):
    make_model(status="failed", source="/weights/big", message="The worker finds no folder.", project=None)
    page = text(as_(admin).get("/models/polite-v1/"))
    assert "could not be copied" in page and "finds no folder" in page and '/models/new/?from=folder"' in page
    assert "Register it again" not in text(as_(carol).get("/models/polite-v1/"))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000/v1", "http://localhost/v1", "http://169.254.169.254/latest", "http://10.0.0.3/v1", "http://[::1]/v1",
        "http://[::ffff:127.0.0.1]/v1", "http://0.0.0.0/v1", "http://2130706433/v1", "file:///etc/passwd", "gopher://1.1.1.1/",
        "https://user:pass@1.1.1.1/v1", "//1.1.1.1", "http://", "http://1.1.1.1:99999/v1", "not a url",
    ],
)  # fmt: skip
def test_an_endpoint_inside_this_network_is_refused(as_, admin, url):
    answer = as_(admin).post("/models/new/?from=endpoint", {"url": url, "endpoint_model": "m"})
    assert answer.status_code == 422 and not ModelVersion.objects.exists()
    assert 'class="error"' in text(answer)


def offers(monkeypatch, *names):
    asked = []

    async def offered(url, key_env=""):
        asked.append((url, key_env))
        return list(names)

    monkeypatch.setattr(serving, "offered", offered)
    return asked


def test_private_endpoints_are_taken_where_the_studio_is_told_so(as_, alice, project, monkeypatch):
    monkeypatch.setattr(settings, "PRIVATE_ENDPOINTS", True, raising=False)
    offers(monkeypatch, "m")
    form = {"url": "http://127.0.0.1:8001/v1/", "endpoint_model": "m", "name": "vLLM", "project": project.pk}
    as_(alice).post("/models/new/?from=endpoint", form)
    model = ModelVersion.objects.get()
    assert (model.endpoint, model.endpoint_model, model.name) == ("http://127.0.0.1:8001/v1", "m", "vLLM")


@pytest.mark.parametrize("key", ["STUDIO_SECRET_KEY", "DATABASE_URL", "sk-12345", "AWS_SECRET_ACCESS_KEY"])
def test_no_other_secret_of_this_process_can_be_named_as_a_key(as_, admin, key, monkeypatch):
    asked = offers(monkeypatch, "m")
    form = {"url": "https://1.1.1.1/v1", "endpoint_model": "m", "key_env": key}
    answer = as_(admin).post("/models/new/?from=endpoint", form)
    assert answer.status_code == 422 and "_API_KEY" in text(answer) and not ModelVersion.objects.exists()
    assert not asked


def test_only_an_admin_lets_a_key_be_sent_to_an_address(as_, alice, admin, project, monkeypatch):
    asked = offers(monkeypatch, "m")
    form = {"url": "https://1.1.1.1/v1", "endpoint_model": "m", "key_env": "OPENAI_API_KEY", "project": project.pk}
    as_(alice).post("/models/new/?from=endpoint", form)
    assert ModelVersion.objects.get().endpoint_key_env == ""
    as_(admin).post("/models/new/?from=endpoint", form)
    assert ModelVersion.objects.first().endpoint_key_env == "OPENAI_API_KEY"
    assert asked == [("https://1.1.1.1/v1", ""), ("https://1.1.1.1/v1", "OPENAI_API_KEY")]


def test_an_endpoint_is_asked_whether_it_has_the_model(as_, admin, served, monkeypatch):
    monkeypatch.setattr(settings, "PRIVATE_ENDPOINTS", True, raising=False)
    monkeypatch.setenv("SERVED_API_KEY", TOKEN)
    form = {"url": f"{served.url}/v1", "endpoint_model": "smal-v1", "key_env": "SERVED_API_KEY", "anyway": "on"}
    answer = as_(admin).post("/models/new/?from=endpoint", form)
    page = text(answer)
    assert answer.status_code == 422 and not ModelVersion.objects.exists()
    assert "has no model of this name. It offers " in page and "small-v1" in page and 'name="anyway"' not in page
    as_(admin).post("/models/new/?from=endpoint", form | {"endpoint_model": "small-v1", "anyway": ""})
    assert ModelVersion.objects.get().endpoint_model == "small-v1"


def test_an_endpoint_that_does_not_say_what_it_has_needs_a_tick(as_, admin, served, monkeypatch):
    monkeypatch.setattr(settings, "PRIVATE_ENDPOINTS", True, raising=False)
    assert 'name="anyway"' not in text(as_(admin).get("/models/new/?from=endpoint"))
    for url, says in (("http://127.0.0.1:9/v1", "does not answer"), (f"{served.url}/v1", "answers with HTTP 401")):
        form = {"url": url, "endpoint_model": "m"}
        answer = as_(admin).post("/models/new/?from=endpoint", form)
        page = text(answer)
        assert answer.status_code == 422 and says in page and not ModelVersion.objects.exists()
        assert re.search(r'<input type="checkbox" name="anyway"', page)
        as_(admin).post("/models/new/?from=endpoint", form | {"anyway": "on"})
        ModelVersion.objects.get(endpoint=url).delete()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<html>", "not answer with a list"), (b'{"data": 7}', "not answer with a list"),
        (b"[1]", "not answer with a list"),
        (b'{"data": [{"id": "' + b"m" * 5_000_000, "never ends"), (None, "does not answer (TimeoutError)"),
    ],
)  # fmt: skip
def test_an_endpoint_cannot_hold_up_or_fill_the_studio(body, says, monkeypatch):
    monkeypatch.setattr(settings, "PRIVATE_ENDPOINTS", True, raising=False)
    monkeypatch.setattr(serving, "LISTING", 1.0)

    class Odd(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            time.sleep(0 if body else 2)
            self.wfile.write(body or b"{}")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Odd)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(serving.ServingError, match=re.escape(says)):
            async_to_sync(serving.offered)(f"http://127.0.0.1:{server.server_port}/v1")
    finally:
        server.shutdown()
