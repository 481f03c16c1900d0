from pathlib import Path

import pytest

from scripts.suite import lock_files


def test_a_lock_is_out_of_date_once_what_was_asked_for_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_files, "ROOT", tmp_path)
    for name in lock_files.LOCKS:
        (tmp_path / f"{name}.in").write_text("django\n")
    for name in lock_files.LOCKS:
        (tmp_path / f"{name}.txt").write_text(
            f"# Locked\n# {lock_files._digest(name)}\ndjango==5\n"
        )
    assert lock_files.out_of_date() == []

    (tmp_path / "requirements-dev.in").write_text("django\nruff\n")
    assert lock_files.out_of_date() == ["requirements-dev.txt"]

    (tmp_path / "requirements.in").write_text("django\ncelery\n")
    assert lock_files.out_of_date() == ["requirements.txt", "requirements-dev.txt"]
