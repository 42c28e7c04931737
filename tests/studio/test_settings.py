"""Settings that are made, not given: the secret key of several processes that start at once."""

import stat
from concurrent.futures import ThreadPoolExecutor

from studio import settings


def test_processes_that_start_at_once_share_one_whole_secret_key(tmp_path, monkeypatch):
    monkeypatch.delenv("STUDIO_SECRET_KEY", raising=False)
    with ThreadPoolExecutor(8) as starts:
        for turn in range(50):
            home = tmp_path / str(turn)
            home.mkdir()
            monkeypatch.setattr(settings, "HOME", home)
            keys = list(starts.map(lambda _: settings.secret_key(), range(8)))
            assert len(set(keys)) == 1 and len(keys[0]) > 60
            assert [file.name for file in home.iterdir()] == ["secret_key"]
            assert stat.S_IMODE((home / "secret_key").stat().st_mode) == 0o600
