import sys
import time
from pathlib import Path

import pytest

from scripts.launcher import supervisor as supervisor_module
from scripts.launcher.run_dir import born_at
from scripts.launcher.supervisor import Service, Supervisor

IGNORES_TERM = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True)\n"
NOTES_ITS_END = """
import pathlib, signal, sys, time
def end(*_):
    with pathlib.Path(sys.argv[1]).open("a") as file:
        file.write(sys.argv[2] + " ")
    sys.exit(0)
signal.signal(15, end)
print("up", flush=True)
time.sleep(60)
"""


def _python(name: str, code: str, *arguments: str, is_server: bool = False) -> Service:
    return Service(name, (sys.executable, "-c", code, *arguments), is_server=is_server)


def _wait_for(supervisor: Supervisor, name: str, text: str) -> None:
    for _ in range(500):
        if text in supervisor.log_of(name).read_text():
            return
        time.sleep(0.02)
    raise AssertionError(supervisor.log_of(name).read_text())


def test_servers_end_after_those_that_use_them(tmp_path: Path) -> None:
    supervisor = Supervisor({}, logs=tmp_path / "logs")
    ends = tmp_path / "ends"
    supervisor.start(_python("redis", NOTES_ITS_END, str(ends), "redis", is_server=True))
    supervisor.start(_python("worker", NOTES_ITS_END, str(ends), "worker"))
    for name in ("redis", "worker"):
        _wait_for(supervisor, name, "up")

    supervisor.stop()

    assert ends.read_text().split() == ["worker", "redis"]


def test_what_does_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "USERS_WITHIN_S", 0.2)
    supervisor = Supervisor({}, logs=tmp_path)
    pid = supervisor.start(_python("deaf", IGNORES_TERM + "time.sleep(60)"))
    _wait_for(supervisor, "deaf", "up")

    supervisor.stop()

    assert born_at(pid) is None


def test_a_second_request_does_not_wait(tmp_path: Path) -> None:
    supervisor = Supervisor({}, logs=tmp_path)
    supervisor.start(_python("deaf", IGNORES_TERM + "time.sleep(60)"))
    _wait_for(supervisor, "deaf", "up")
    began_at = time.monotonic()

    supervisor.stop(is_urgent=lambda: True)

    assert time.monotonic() - began_at < 2


def test_a_death_is_noticed_with_its_status_and_last_words(tmp_path: Path) -> None:
    supervisor = Supervisor({}, logs=tmp_path)
    supervisor.start(_python("mortal", "print('farewell'); raise SystemExit(7)"))
    for _ in range(500):
        if supervisor.dead():
            break
        time.sleep(0.02)

    assert supervisor.dead() == ("mortal", 7)
    assert supervisor.tail("mortal") == "farewell"
    supervisor.stop()


def test_a_long_log_is_moved_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "LOG_BYTES_MAX", 100)
    supervisor = Supervisor({}, logs=tmp_path)
    supervisor.start(_python("talker", "print('x' * 500, flush=True); import time; time.sleep(60)"))
    _wait_for(supervisor, "talker", "x")

    supervisor.shorten_logs()

    assert supervisor.log_of("talker").read_text() == ""
    assert "x" * 500 in (tmp_path / "talker.log.1").read_text()
    supervisor.stop()
