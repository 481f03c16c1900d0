"""The table of saves: what it tells, and what it forgets."""

from __future__ import annotations

from deploy.comfyui.llamasketch_nodes.saves import SaveState, SaveTable


def test_what_was_never_promised_is_unknown() -> None:
    assert SaveTable().of("llamasketch/0a") == {}


def test_the_latest_state_of_a_file_counts() -> None:
    table = SaveTable()

    table.note("a", "1", SaveState("waiting"))
    table.note("a", "1", SaveState("failed", "No space left on device"))

    assert table.of("a") == {"1": SaveState("failed", "No space left on device")}


def test_the_oldest_folders_are_forgotten_but_not_while_a_file_waits() -> None:
    table = SaveTable(folders_max=2)
    table.note("waits", "1", SaveState("waiting"))

    for name in ("a", "b", "c"):
        table.note(name, "1", SaveState("written"))

    assert [name for name in ("waits", "a", "b", "c") if table.of(name)] == ["waits", "c"]
