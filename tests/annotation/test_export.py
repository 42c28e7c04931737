"""An export holds all of a project, streams, and comes back in by import."""

import json

import httpx
import pytest
from django.urls import reverse

from annotation import export as exporting
from annotation.export import export_lines
from annotation.importing.ingest import import_path
from annotation.models import Membership, Project, RankedCompletion, Ranking

pytestmark = pytest.mark.django_db


@pytest.fixture
def ranked(project, make_prompt, bob):
    project.ask_ratings = True
    project.save()
    helpful = project.criteria.create(name="helpful “very”")
    prompt = make_prompt(
        "Who’s there?\n\t\\", ('Said "no"', "</script>", "x\u2028y"), criterion=helpful, metadata={"a": 1}
    )
    make_prompt("Alone?", ())
    ranking = Ranking.objects.create(prompt=prompt, labeler=bob, unsure=True, comment="Hm – “so”", seconds=2.5)
    for rank, completion in enumerate(prompt.completions.all(), 1):
        RankedCompletion.objects.create(ranking=ranking, completion=completion, rank=rank, rating=8 - rank, shown=rank)
    return prompt


def exported(project):
    return [json.loads(line) for lines in export_lines(project) for line in lines]


def test_a_line_holds_the_prompt_its_completions_and_what_was_said(project, ranked):
    first, second = exported(project)
    ids = list(ranked.completions.values_list("pk", flat=True))
    assert (
        first["prompt"] == ranked.messages and first["criterion"] == "helpful “very”" and first["metadata"] == {"a": 1}
    )
    assert [c["text"] for c in first["completions"]] == ['Said "no"', "</script>", "x\u2028y"]
    [said] = first["rankings"]
    assert said["labeler"] == "bob" and said["unsure"] is True and "all_bad" not in said
    assert said["ranks"] == {str(pk): rank for rank, pk in enumerate(ids, 1)}
    assert said["ratings"] == {str(pk): 8 - rank for rank, pk in enumerate(ids, 1)}
    assert (said["comment"], said["seconds"]) == ("Hm – “so”", 2.5)
    assert second["completions"] == second["rankings"] == []


@pytest.mark.django_db(transaction=True)
def test_chunks_read_side_by_side_come_in_order(project, make_prompt, monkeypatch):
    for n in range(9):
        make_prompt(f"Question {n}?")
    monkeypatch.setattr(exporting, "CHUNK", 1)
    assert [row["prompt"][0]["content"] for row in exported(project)] == [f"Question {n}?" for n in range(9)]
    lines = export_lines(project)
    next(lines)
    lines.close()  # a download that is broken off leaves no connection behind


def test_other_projects_stay_out_and_chunks_lose_nothing(project, make_prompt, monkeypatch):
    other = Project.objects.create(name="Other")
    for n in range(7):
        make_prompt(f"Mine {n}?")
        make_prompt(f"Theirs {n}?", project=other)
    monkeypatch.setattr(exporting, "CHUNK", 2)
    assert [row["prompt"][0]["content"] for row in exported(project)] == [f"Mine {n}?" for n in range(7)]
    assert all(len(row["completions"]) == 3 for row in exported(project))


def test_an_export_comes_back_in_and_adds_nothing_to_its_own_project(project, ranked, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("".join("".join(lines) for lines in export_lines(project)))
    job = import_path(project, path)
    assert (job.added, job.known, job.bad) == (0, 2, 0), job.problems
    fresh = Project.objects.create(name="Fresh")
    assert import_path(fresh, path).added == 2
    copy = Ranking.objects.get(prompt__project=fresh)
    assert [place.completion.text for place in copy.ranked.all()] == ['Said "no"', "</script>", "x\u2028y"]
    assert copy.labeler is None and copy.prompt.criterion.name == "helpful “very”"


def test_two_equal_rankings_are_two_and_come_back_as_two(project, make_prompt, alice, bob, tmp_path):
    prompt = make_prompt("Hi?", ("a", "b"), wanted=2)
    for labeler in (alice, bob):
        ranking = Ranking.objects.create(prompt=prompt, labeler=labeler)
        for rank, completion in enumerate(prompt.completions.all(), 1):
            RankedCompletion.objects.create(ranking=ranking, completion=completion, rank=rank, shown=rank)
    path = tmp_path / "a.jsonl"
    path.write_text("".join("".join(lines) for lines in export_lines(project)))
    assert import_path(project, path).known == 1
    fresh = Project.objects.create(name="Fresh")
    import_path(fresh, path)
    assert import_path(fresh, path).known == 1 and Ranking.objects.filter(prompt__project=fresh).count() == 2


def test_reviewers_download_it_and_labelers_and_outsiders_do_not(client, project, ranked, alice, bob, carol):
    address = reverse("export", args=[project.slug])
    client.force_login(alice)
    response = client.get(address)
    assert response.status_code == 200
    assert response.headers["Content-Disposition"] == 'attachment; filename="helpful-answers.jsonl"'
    client.force_login(bob)
    assert client.get(address).status_code == 403
    client.force_login(carol)
    assert client.get(address).status_code == 404
    Membership.objects.create(project=project, user=carol, role="reviewer")
    assert client.get(address).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_the_running_studio_streams_it(client, live_studio, project, ranked, alice):
    client.force_login(alice)
    address = f"{live_studio}{reverse('export', args=[project.slug])}"
    cookies = {"sessionid": client.cookies["sessionid"].value}
    with httpx.stream("GET", address, cookies=cookies) as response:
        assert response.headers["content-disposition"].startswith("attachment")
        assert sum(part.count(b"\n") for part in response.iter_bytes()) == 2


def test_a_ranking_that_places_nothing_is_exported_all_the_same(project, make_prompt, bob):
    Ranking.objects.create(prompt=make_prompt(), labeler=bob, bad_prompt=True, comment="no sense")
    (line,) = exported(project)
    assert [(said["ranks"], said["bad_prompt"], said["comment"]) for said in line["rankings"]] == [
        ({}, True, "no sense")
    ]
