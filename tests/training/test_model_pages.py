"""The registry's pages: what is listed, who may take weights home, what is never markup."""

import hashlib
import io
import re
import tarfile

import pytest

from tests.live import streamed
from tests.reading import text
from training.models import ModelVersion

pytest_plugins = ["tests.training.pages"]


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
