"""The picture of a lineage: every source left of its product, no box upon another, and the people who ranked."""

import re

import pytest

from training.lineage_drawing import HEIGHT, WIDTH, draw, tree
from training.models import TrainingJob

pytest_plugins = ["tests.training.pages"]


def node(key: str) -> dict:
    return {"key": key, "kind": key.partition("-")[0], "label": f"Label of {key}", "detail": "", "url": f"/{key}/"}


CHAIN = [
    *(("labeler-1", "rankings-1"), ("labeler-2", "rankings-1"), ("rankings-1", "dataset-1"), ("dataset-1", "job-1")),
    *(("model-0", "job-1"), ("job-1", "model-1"), ("model-1", "job-2"), ("dataset-1", "job-2"), ("job-2", "model-2")),
]
NODES = [node(key) for key in dict.fromkeys(key for edge in CHAIN for key in edge)]


def test_every_source_stands_left_of_what_came_of_it():
    boxes = {box["key"]: box for box in draw(NODES, CHAIN, "model-2")["boxes"]}
    assert boxes.keys() == {each["key"] for each in NODES}
    assert all(boxes[start]["x"] + WIDTH < boxes[end]["x"] for start, end in CHAIN)


def test_no_box_covers_another_and_all_are_inside():
    drawing = draw(NODES, CHAIN, "model-2")
    boxes = drawing["boxes"]
    for box in boxes:
        assert 0 <= box["x"] <= drawing["width"] - WIDTH and 0 <= box["y"] <= drawing["height"] - HEIGHT
        beside = [other for other in boxes if other is not box and other["x"] == box["x"]]
        assert all(abs(other["y"] - box["y"]) >= HEIGHT for other in beside)


def test_an_edge_that_passes_a_column_goes_round_its_boxes():
    drawing = draw(NODES, CHAIN, "model-2")
    boxes = {box["key"]: box for box in drawing["boxes"]}
    passing = next(path for path in drawing["curves"] if path.count("H") == 2)  # dataset-1 → job-2, past two columns
    heights = [float(y) for y in re.findall(r" (-?[\d.]+) H", passing)]
    for y, key in zip(heights, ("job-1", "model-1"), strict=True):
        assert not boxes[key]["y"] <= y <= boxes[key]["y"] + HEIGHT


def test_only_the_model_asked_for_is_marked():
    assert [box["key"] for box in draw(NODES, CHAIN, "model-2")["boxes"] if box["here"]] == ["model-2"]


def test_the_tree_reads_back_from_the_model_and_unfolds_nothing_twice():
    found = tree(NODES, CHAIN, "model-2")
    assert found["sources"][0]["key"] == "job-2"
    datasets = [part for part in walk(found) if part["key"] == "dataset-1"]
    assert sorted(bool(part["sources"]) for part in datasets) == [False, True]


def walk(part: dict):
    yield part
    for source in part["sources"]:
        yield from walk(source)


@pytest.mark.django_db
def test_a_trained_model_shows_who_ranked_for_it(client, alice, bob, make_job, make_model, pairs_dataset):
    type(pairs_dataset).objects.update(report={"labelers": {str(bob.pk): 9, str(alice.pk): 3}})
    job = make_job(status="succeeded")
    model = make_model(base=job.base_model, source=job.run_dir)
    TrainingJob.objects.filter(pk=job.pk).update(model=model)
    client.force_login(alice)
    html = client.get(model.get_absolute_url()).content.decode()
    picture = html[html.index('class="lineage-wide"') : html.index('class="lineage-tree"')]
    for said in ("bob", "9 pairs", "alice", "5 rankings", "Polite pairs", "Manners", "Small v1"):
        assert said in picture, said
    for link in (f"/train/{job.pk}/", "/datasets/pairs/", "/models/small-v1/"):
        assert f'href="{link}"' in picture
    tree_part = html[html.index('class="lineage-tree"') :]
    assert tree_part.index("Polite v1") < tree_part.index("Manners") < tree_part.index("bob")


@pytest.mark.django_db
def test_a_registered_model_has_no_picture(client, alice, make_model):
    client.force_login(alice)
    assert "lineage-wide" not in client.get(make_model().get_absolute_url()).content.decode()


@pytest.mark.django_db
def test_a_labelers_name_is_never_markup(client, alice, make_job, make_model, pairs_dataset):
    alice.first_name = "<script>alert(1)</script>"
    alice.save()
    type(pairs_dataset).objects.update(name='"><script>alert(1)</script>', report={"labelers": {str(alice.pk): 1}})
    job = make_job(status="succeeded", name="</text><script>alert(1)</script>")
    model = make_model(base=job.base_model, source=job.run_dir)
    client.force_login(alice)
    assert "<script>alert" not in client.get(model.get_absolute_url()).content.decode()
