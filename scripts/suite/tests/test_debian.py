from pathlib import Path

import pytest

from scripts.launcher.progress import Progress
from scripts.launcher.refusal import Refusal
from scripts.launcher.stop_signal import StopSignal
from scripts.suite import debian


def test_who_is_not_root_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)

    with pytest.raises(Refusal, match="The tests need it; install postgresql"):
        debian.install(
            "postgresql",
            why="The tests need it",
            log=tmp_path / "log",
            stop=StopSignal(),
            progress=Progress(),
        )


def test_any_name_of_chromium_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert debian.find_chromium() is None

    (tmp_path / "google-chrome").write_text("")
    (tmp_path / "google-chrome").chmod(0o755)

    assert debian.find_chromium() == str(tmp_path / "google-chrome")
