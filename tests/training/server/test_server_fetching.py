"""A server brings in what another machine trained, and serves weights in the precision they are kept in."""

import shutil

from training.server.folders import Options


def test_a_model_of_the_shared_store_is_served_where_it_was_not_trained(models, serve, tmp_path, monkeypatch):
    shared = tmp_path / "shared" / "models"
    shutil.copytree(models / "tiny", shared / "trained-v1")
    monkeypatch.setenv("STUDIO_STORE", f"file://{tmp_path / 'shared'}")
    (tmp_path / "here").mkdir()
    server = serve(tmp_path / "here")
    assert server.answer(model="trained-v1")
    assert (tmp_path / "here" / "trained-v1" / "model.safetensors").exists()
    assert server.chat(model="never-v1").status_code == 404
    assert server.chat(model="../shared/models/trained-v1").status_code == 404


def test_float32_weights_stay_float32_where_others_are_narrowed(models, tmp_path):
    options = Options(models=models, dtype="bfloat16", as_stored=True)
    assert options.dtype_of(models / "tiny") == "float32"
    narrow = shutil.copytree(models / "tiny", tmp_path / "narrow")
    config = (narrow / "config.json").read_text().replace('"float32"', '"bfloat16"')
    (narrow / "config.json").write_text(config)
    assert options.dtype_of(narrow) == "bfloat16"
