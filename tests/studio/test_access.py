"""Who reaches which page: the outsider finds nothing, the visitor a login, the labeler a sentence."""

import pytest
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from annotation.models import Dataset, Import, Ranking
from training.models import Comparison, ModelVersion, TrainingJob

MANAGERS = ["project_settings", "project_people", "import_new", "dataset_new", "complete"]
OPEN = ("accounts/", "health", "admin/", "api/", "v1/")


@pytest.fixture
def things(project, prompt, alice):
    """One of everything, all of alice's project."""
    dataset = Dataset.objects.create(project=project, slug="frozen", name="Frozen", status="ready")
    model = ModelVersion.objects.create(name="ours", slug="ours-v1", project=project, created_by=alice)
    job = TrainingJob.objects.create(
        name="dpo", project=project, dataset=dataset, recipe="dpo", base_model=model, created_by=alice
    )
    Ranking.objects.create(prompt=prompt, labeler=alice)
    return {
        "project": project.slug,
        "prompt": prompt.pk,
        "dataset": dataset.slug,
        "model": model.slug,
        "job": job.pk,
        "import": Import.objects.create(project=project, created_by=alice, name="a.jsonl", file="a").pk,
        "comparison": Comparison.objects.create(created_by=alice, project=project).pk,
    }


def addresses(things) -> list[str]:
    """Every page that shows something of the project."""
    slug = things["project"]
    inside = [
        "project",
        "project_settings",
        "project_people",
        "import_new",
        "prompts",
        "rank",
        "steps",
        "dataset_new",
        "complete",
    ]
    return [
        *(reverse(name, args=[slug]) for name in inside),
        reverse("prompt", args=[slug, things["prompt"]]),
        reverse("import", args=[slug, things["import"]]),
        reverse("dataset", args=[things["dataset"]]),
        reverse("job", args=[things["job"]]),
        reverse("model", args=[things["model"]]),
        reverse("comparison", args=[things["comparison"]]),
    ]


def test_an_outsider_finds_none_of_it(client, carol, things):
    client.force_login(carol)
    found = {address: client.get(address).status_code for address in addresses(things)}
    assert found == dict.fromkeys(found, 404)


def test_an_outsider_cannot_post_anywhere_either(client, carol, things):
    client.force_login(carol)
    found = {address: client.post(address, {"delete": "1"}).status_code for address in addresses(things)}
    assert not {address: status for address, status in found.items() if status not in (404, 405)}


def test_nothing_of_it_is_listed_for_an_outsider(client, carol, things, project):
    client.force_login(carol)
    for name in ("home", "projects", "datasets", "jobs", "models", "compare"):
        listed = client.get(reverse(name)).content.decode()
        assert project.name not in listed and "ours-v1" not in listed and "Frozen" not in listed, name


@pytest.mark.parametrize("name", MANAGERS)
def test_a_labeler_is_told_why_a_managers_page_is_closed(client, bob, project, name):
    client.force_login(bob)
    answer = client.get(reverse(name, args=[project.slug]))
    assert answer.status_code == 403
    assert "This needs the role of manager on Helpful answers; yours is labeler." in answer.content.decode()


def test_a_reviewer_reads_but_does_not_manage(client, bob, project, prompt):
    project.memberships.filter(user=bob).update(role="reviewer")
    client.force_login(bob)
    assert client.get(reverse("prompts", args=[project.slug])).status_code == 200
    assert client.get(reverse("project_settings", args=[project.slug])).status_code == 403


def test_a_superuser_manages_everything(client, admin_user, project, prompt):
    client.force_login(admin_user)
    for name in ("project", "project_settings", "project_people", "prompts"):
        assert client.get(reverse(name, args=[project.slug])).status_code == 200


def patterns(resolver, prefix="") -> list[str]:
    found = []
    for entry in resolver.url_patterns:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            found += patterns(entry, path)
        elif isinstance(entry, URLPattern):
            found.append(path)
    return found


def test_every_address_asks_a_visitor_for_a_login(client, db):
    """Taken from the address list itself, so that a page added tomorrow is held to it."""
    filled = {"<slug:slug>": "x", "<int:pk>": "1", "<uuid:key>": "0" * 32}
    for path in patterns(get_resolver()):
        for part, value in filled.items():
            path = path.replace(part, value)
        if path.startswith(OPEN) or "<" in path:
            continue
        answer = client.get(f"/{path}")
        assert answer.status_code == 302 and answer.url.startswith("/accounts/login/?next="), path


def test_a_fragment_without_a_login_reloads_the_page(client, db):
    answer = client.get("/", headers={"HX-Request": "true"})
    assert answer.status_code == 401 and answer.headers["HX-Refresh"] == "true"


def test_a_page_that_is_not_there_says_so_in_the_frame(client, alice):
    client.force_login(alice)
    answer = client.get("/projects/nothing-here/")
    assert answer.status_code == 404 and "There is nothing here for you" in answer.content.decode()


def test_a_broken_page_keeps_its_head(client, alice, project, monkeypatch):
    """A real view meets a database that fails under it."""
    from annotation import overview

    def broken(*_):
        raise RuntimeError("the database went away")

    monkeypatch.setattr(overview, "progress_of", broken)
    client.force_login(alice)
    client.raise_request_exception = False
    answer = client.get(reverse("projects"))
    assert answer.status_code == 500 and "What you had saved is safe" in answer.content.decode()
    assert "the database went away" not in answer.content.decode()


def test_pages_send_a_policy_without_inline_scripts_and_hold_to_it(client, alice, things):
    client.force_login(alice)
    for address in ["/", "/account/", "/projects/", "/projects/new/", *addresses(things)[:6]]:
        answer = client.get(address)
        policy = answer.headers["Content-Security-Policy"]
        assert "unsafe" not in policy and "script-src 'self'" in policy
        html = answer.content.decode()
        for word in ("style=", "onclick=", "onload=", "javascript:", "<script>"):
            assert word not in html, (address, word)
