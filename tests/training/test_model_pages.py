"""The registry's pages: what is listed, how models are registered, who may take weights home, what is never markup."""

import hashlib
import io
import json
import re
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings

from annotation.models import Membership
from tests.live import streamed
from tests.serving import TOKEN
from training import fetching, serving
from training.models import ModelVersion

pytest_plugins = ["tests.training.pages"]


@pytest.fixture
def admin(django_user_model):
    return django_user_model.objects.create_superuser("ada", "ada@example.org", "a long password")


@pytest.fixture
def as_(client):
    def login(user):
        client.force_login(user)
        return client

    return login


def text(response) -> str:
    return re.sub(r"\s+", " ", response.content.decode())


# ---- the list ----


def test_without_models_the_list_says_what_one_is(as_, alice, project):
    html = text(as_(alice).get("/models/"))
    assert "No models yet" in html and 'href="/models/new/"' in html


def test_versions_of_one_family_stand_together_newest_first(as_, alice, make_model):
    make_model(name="Polite", slug="polite-v1", version=1)
    make_model(name="Score", slug="score-v1", makes="reward_model")
    make_model(name="Polite", slug="polite-v2", version=2)
    html = as_(alice).get("/models/").content.decode()
    assert re.findall(r'row-link" href="/models/([\w-]+)/"', html) == ["polite-v2", "polite-v1", "score-v1"]
    assert "Reward model" in html


def test_the_list_refreshes_itself_only_while_a_model_is_fetched(as_, alice, make_model):
    make_model()
    assert "hx-trigger" not in text(as_(alice).get("/models/"))
    make_model(name="Big", slug="big-v1", status="fetching")
    assert "hx-trigger" in text(as_(alice).get("/models/"))


def test_filters_narrow_the_list(as_, alice, make_model):
    make_model(name="Polite", slug="polite-v1")
    make_model(name="Score", slug="score-v1", makes="reward_model")
    assert "polite-v1" not in text(as_(alice).get("/models/?makes=reward_model"))
    assert "score-v1" not in text(as_(alice).get("/models/?q=olit"))
    assert "No model matches" in text(as_(alice).get("/models/?q=zzz"))
    assert "score-v1" in text(as_(alice).get("/models/?makes=x&before=x&q=%00"))


# ---- one version ----


def test_an_outsider_finds_neither_the_model_nor_its_files(as_, carol, make_model):
    make_model(files={"config.json": "{}"})
    for path in ("", "download/", "files/config.json"):
        assert as_(carol).get(f"/models/polite-v1/{path}").status_code == 404
    assert "polite-v1" not in text(as_(carol).get("/models/"))


def test_a_labeler_sees_a_model_and_may_not_take_its_weights(as_, bob, make_model):
    make_model(files={"config.json": "{}"})
    html = text(as_(bob).get("/models/polite-v1/"))
    assert "config.json" in html and "/download/" not in html
    assert as_(bob).get("/models/polite-v1/download/").status_code == 403
    assert as_(bob).get("/models/polite-v1/files/config.json").status_code == 403


def test_the_download_is_a_tar_of_the_whole_folder(as_, alice, make_model):
    files = {
        "config.json": b"{}",
        "model.safetensors": b"\1" * 1_500_000,
        "adapter/" + "a" * 120: b"x",
        ".partial": b"no",
    }
    make_model(files=files)
    answer = as_(alice).get("/models/polite-v1/download/")
    data = streamed(answer)
    assert len(data) == int(answer.headers["Content-Length"])
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        found = {member.name: tar.extractfile(member).read() for member in tar}
    assert found == {f"polite-v1/{name}": content for name, content in files.items() if name != ".partial"}


def test_files_show_their_sha256_when_asked(as_, alice, make_model):
    make_model(files={"model.safetensors": b"weights"})
    assert hashlib.sha256(b"weights").hexdigest() in text(as_(alice).get("/models/polite-v1/?checksums=1"))


@pytest.mark.parametrize("path", ["../../secret_key", "nothing", "..%2f..%2fsecret_key"])
def test_no_file_outside_the_folder_can_be_asked_for(as_, alice, make_model, path):
    make_model(files={"config.json": "{}"})
    assert as_(alice).get(f"/models/polite-v1/files/{path}").status_code == 404


def test_an_endpoint_has_no_weights_to_take_or_train(as_, alice, make_model):
    make_model(endpoint="https://api.example.org/v1", endpoint_model="m")
    html = text(as_(alice).get("/models/polite-v1/"))
    assert "https://api.example.org/v1" in html and "Train from it" not in html
    assert as_(alice).get("/models/polite-v1/download/").status_code == 403


def test_the_card_is_markdown_without_its_front_matter_and_never_runs(as_, alice, make_model):
    card = '---\nbase_model: "secret-yaml"\n---\n# Title\n\n**bold** <script>alert(1)</script> [x](javascript:alert(1))'
    html = text(as_(alice).get(f"/models/{make_model(files={'README.md': card}).slug}/"))
    assert "<strong>bold</strong>" in html and "secret-yaml" not in html
    assert html.count("<h1") == 1 and ">Title</h2>" in html
    assert "<script>alert" not in html and 'href="javascript' not in html


def test_nothing_a_model_is_called_is_ever_markup(as_, alice, make_model):
    evil = "<script>alert(1)</script>"
    make_model(name=evil, source=evil, message=evil, notes=evil, status="failed", metrics={evil: evil})
    make_model(name=evil, slug="two", version=2, notes=evil, metrics={evil: evil}, files={evil.replace("/", ""): "x"})
    for path in ("/models/", "/models/polite-v1/", "/models/two/", "/models/two/?checksums=1"):
        assert "<script>alert" not in as_(alice).get(path).content.decode(), path


def test_a_model_says_how_a_program_asks_it(as_, alice, make_model):
    make_model()
    html = as_(alice).get("/models/polite-v1/").content.decode()
    assert 'base_url="http://testserver/v1"' in html.replace("&quot;", '"') and 'model="polite-v1"' in html
    make_model(name="Score", slug="score-v1", makes="reward_model")
    assert "chat.completions" not in as_(alice).get("/models/score-v1/").content.decode()


def test_a_model_that_could_not_be_fetched_says_why(as_, alice, make_model):
    make_model(status="failed", source="nobody/nothing", message="The hub has no model nobody/nothing.")
    assert "The hub has no model nobody/nothing." in text(as_(alice).get("/models/polite-v1/"))


def test_only_a_model_being_fetched_polls(as_, alice, make_model):
    model = make_model(status="fetching", source="a/b")
    assert 'hx-trigger="every 2s"' in text(as_(alice).get("/models/polite-v1/"))
    ModelVersion.objects.filter(pk=model.pk).update(status="ready")
    answer = as_(alice).get("/models/polite-v1/", headers={"HX-Request": "true"})
    assert "hx-trigger" not in text(answer) and "<html" not in text(answer)


# ---- registering ----


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


def test_a_win_rate_stands_with_its_interval_and_its_judge(as_, alice, make_model):
    base, judge, model = (make_model(name=name, slug=f"{name}-v1") for name in ("base", "judge", "ours"))
    model.metrics = {
        "loss": 0.5,
        "win_rate": {"value": 0.57, "low": 0.46, "high": 0.69, "count": 27, "base": base.slug, "scorer": judge.slug},
    }
    model.save()
    page = text(as_(alice).get(model.get_absolute_url()))
    assert "57 %" in page and "between 46 % and 69 %" in page and judge.slug in page


# ---- trying a scorer of traces ----


def test_a_process_reward_models_page_scores_the_steps_of_a_solution(as_, alice, registered):
    client = as_(alice)
    page = text(client.get("/models/steps-v1/"))
    assert '<a class="button primary" href="#trial">Try it</a>' in page
    assert 'action="/models/steps-v1/steps/"' in page and "/v1/score_steps" in page
    said = {"problem": "What is 2 + 2?", "solution": "Two and two.\r\nThat is 4.", "rule": "line"}
    answer = client.post("/models/steps-v1/steps/", said)
    html = text(answer)
    assert answer.status_code == 200 and "<title>Try steps v1" in html
    assert re.findall(r'<div class="text" dir="auto">(.*?)</div>', html) == ["Two and two.", "That is 4."]
    assert len(re.findall(r'<span class="score num">0\.\d\d</span>', html)) == 2
    assert "first more likely wrong" in html or "more likely right than wrong" in html
    alone = text(client.post("/models/steps-v1/steps/", said, headers={"HX-Request": "true"}))
    assert alone.lstrip().startswith('<section class="stack tight" id="trial">')


def test_an_outcome_reward_models_page_scores_the_whole_solution(as_, alice, registered):
    said = {"problem": "What is 2 + 2?", "solution": "Two and two.\n\nThat is 4.", "rule": "blank_line"}
    html = text(as_(alice).post("/models/answers-v1/steps/", said))
    assert "likely to be right, read at its last step" in html
    assert len(re.findall(r'<span class="score num">', html)) == 1


def test_a_trial_without_words_or_with_too_many_steps_or_a_server_is_told_so(as_, alice, registered, settings):
    client = as_(alice)
    for said, words in (
        ({"problem": "", "solution": "a", "rule": "line"}, "This field is required"),
        ({"problem": "a", "solution": "a\n" * 300, "rule": "line"}, "This makes 300 steps; write 1 to 200."),
        ({"problem": "a", "solution": "b", "rule": "dice"}, "Select a valid choice"),
    ):
        answer = client.post("/models/steps-v1/steps/", said)
        assert answer.status_code == 422 and words in text(answer)
    settings.MODEL_SERVER_URL = "http://127.0.0.1:9"
    answer = client.post("/models/steps-v1/steps/", {"problem": "a", "solution": "<b>x</b>", "rule": "line"})
    assert answer.status_code == 422 and "does not answer" in text(answer) and "<b>x" not in text(answer)


def test_only_scorers_of_traces_that_one_may_see_are_tried(as_, alice, carol, make_model, registered):
    client = as_(alice)
    assert client.get("/models/steps-v1/steps/").status_code == 200
    for slug in ("small-v1", "taste-v1", "none-v1"):
        assert client.get(f"/models/{slug}/steps/").status_code == 404
    make_model(name="Judge", slug="judge-v1", makes="process_reward_model")
    assert as_(carol).get("/models/judge-v1/steps/").status_code == 404
    html = text(as_(alice).get("/models/?makes=process_reward_model"))
    assert "judge-v1" in html and "small-v1" not in html and "Process reward model" in html
