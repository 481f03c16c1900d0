import json
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.launcher.ports import free_port
from scripts.launcher.refusal import Refusal
from scripts.launcher.run_dir import RunDir, born_at


def test_one_start_at_a_time_holds_a_data_folder(tmp_path: Path) -> None:
    first, second = RunDir(tmp_path), RunDir(tmp_path)
    first.take(address="port 8100")

    with pytest.raises(Refusal, match=r"already runs .*port 8100"):
        second.take(address="port 8200")

    first.leave()
    second.take(address="port 8200")
    second.leave()


def test_ports_are_kept_while_they_are_free(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path)
    run_dir.take(address="")
    chosen = run_dir.ports(["valkey", "simulator"])

    assert len(set(chosen.values())) == 2
    assert run_dir.ports(["valkey", "simulator"]) == chosen
    run_dir.leave()


def test_a_port_that_one_had_is_not_given_to_two(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path)
    run_dir.take(address="")
    port = free_port()
    (tmp_path / "run" / "ports.json").write_text(json.dumps({"valkey": port, "simulator": port}))

    chosen = run_dir.ports(["valkey", "simulator"])

    assert chosen["valkey"] == port != chosen["simulator"]
    run_dir.leave()


def test_a_process_left_by_a_killed_start_is_ended_and_another_is_not(tmp_path: Path) -> None:
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    left = subprocess.Popen(sleep, start_new_session=True)
    other = subprocess.Popen(sleep, start_new_session=True)
    run_dir = RunDir(tmp_path)
    run_dir.take(address="")
    run_dir.note_processes({"left": left.pid})
    # The same number, born at another time: somebody else's process.
    noted = tmp_path / "run" / "processes.json"
    noted.write_text(noted.read_text().replace("}", f', "{other.pid}": "1"}}'))

    try:
        assert run_dir.end_leftovers() == 1
        assert left.wait(5) != 0
        assert other.poll() is None
    finally:
        for process in (left, other):
            process.kill()
            process.wait()
        run_dir.leave()


def test_birth_is_none_for_a_process_that_is_gone() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()

    assert born_at(process.pid) is None
