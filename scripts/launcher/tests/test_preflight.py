import errno
import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.launcher import preflight
from scripts.launcher.ports import free_port
from scripts.launcher.refusal import Refusal


class _Comfyui(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/system_stats" else 404)
        self.end_headers()
        self.wfile.write(b'{"system": {}}')

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def comfyui() -> Iterator[str]:
    """The address of something that answers as ComfyUI does."""
    with http.server.HTTPServer(("127.0.0.1", 0), _Comfyui) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_free_port_is_fine_and_a_taken_one_is_refused() -> None:
    preflight.check_port(free_port())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        with pytest.raises(Refusal, match="is taken"):
            preflight.check_port(taken.getsockname()[1])


def test_a_full_disk_is_refused_with_what_is_free_and_what_is_needed(tmp_path: Path) -> None:
    preflight.check_space(tmp_path, 500, free_bytes=lambda _: 500)

    with pytest.raises(Refusal, match=r"Only 120 MB are free where .* needs 500 MB"):
        preflight.check_space(tmp_path, 500 * 10**6, free_bytes=lambda _: 120 * 10**6)


def test_a_disk_that_takes_no_byte_is_called_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)

    with pytest.raises(Refusal, match="Only 0 MB are free"):
        preflight.check_data_dir(tmp_path / "data")


def test_the_data_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    preflight.check_data_dir(tmp_path / "new" / "data")

    assert (tmp_path / "new" / "data").stat().st_mode & 0o077 == 0


def test_a_file_in_the_place_of_the_data_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")

    with pytest.raises(Refusal, match="cannot be written"):
        preflight.check_data_dir(tmp_path / "data")


def test_one_comfyui_of_two_is_enough(comfyui: str) -> None:
    away = f"http://127.0.0.1:{free_port()}"

    assert preflight.check_comfyui([comfyui, away]) == [away]
    assert preflight.check_comfyui([]) == []


def test_no_comfyui_at_all_is_refused() -> None:
    with pytest.raises(Refusal, match=r"No ComfyUI answers at .*refused"):
        preflight.check_comfyui([f"http://127.0.0.1:{free_port()}"])


@pytest.mark.parametrize("address", ["gpu:8188", "ftp://gpu", "http://", "http://gpu:port", ""])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(Refusal, match="is no address"):
        preflight.check_comfyui([address])


def test_a_redis_that_is_away_is_refused_without_its_password() -> None:
    with pytest.raises(Refusal, match="No Redis answers") as refused:
        preflight.check_redis(f"redis://:secret@127.0.0.1:{free_port()}/0")

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("version", "is_fine"),
    [("v20.19.0", True), ("v24.1.0", True), ("v20.18.3", False), ("v18.20.4", False), ("", False)],
)
def test_node_must_be_new_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, is_fine: bool
) -> None:
    for name in ("node", "npm"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {version}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")

    if is_fine:
        preflight.check_node()
    else:
        with pytest.raises(Refusal, match=r"needs \d+\.\d+ or newer"):
            preflight.check_node()


def test_a_missing_node_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(Refusal, match=r"Node\.js is missing"):
        preflight.check_node()
