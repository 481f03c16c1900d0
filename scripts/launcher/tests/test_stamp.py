from pathlib import Path

from scripts.launcher.stamp import digest_of, is_current, leave


def test_a_stamp_is_current_until_an_input_changes(tmp_path: Path) -> None:
    source, stamp = tmp_path / "source", tmp_path / "stamp"
    source.write_text("one")
    leave(stamp, digest_of([source], root=tmp_path))
    assert is_current(stamp, digest_of([source], root=tmp_path))

    source.write_text("two")

    assert not is_current(stamp, digest_of([source], root=tmp_path))


def test_a_new_name_is_a_change(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("same")
    before = digest_of([tmp_path / "a"], root=tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")

    assert digest_of([tmp_path / "b"], root=tmp_path) != before


def test_what_was_never_made_is_not_current(tmp_path: Path) -> None:
    assert not is_current(tmp_path / "stamp", digest_of([], root=tmp_path))
