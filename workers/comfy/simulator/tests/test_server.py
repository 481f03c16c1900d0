"""What the recordings do not show but the server's users rely on."""

import io
import json
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from PIL import Image

from workers.comfy.simulator.options import ServerVersion
from workers.comfy.simulator.tests.client import Caller, Listener
from workers.comfy.simulator.tests.conftest import Start
from workers.comfy.simulator.tests.graphs import klein_graph, outline, png

COMMAND = [sys.executable, "-m", "workers.comfy.simulator", "--port"]


@pytest.mark.parametrize("path", ["/prompt", "/queue", "/history", "/features", "/system_stats"])
def test_every_route_is_there_under_api_too(path: str, start: Start) -> None:
    caller = start()

    assert caller.get(path).keys() == caller.get("/api" + path).keys()


def test_0_8_has_no_cancel_takes_any_prompt_id_and_deletes_pending(start: Start) -> None:
    caller = start(version=ServerVersion.V0_8, step_s=0.05)
    with Listener(caller.url, wants_metadata=True) as listener:
        client_id = listener.client_id
        caller.submit(klein_graph(steps=20), client_id=client_id, prompt_id="first")
        caller.submit(klein_graph(seed=2), client_id=client_id, prompt_id="second")
        listener.wait_for(lambda: "progress" in listener.types())

        cancel = caller.request("POST", "/api/jobs/first/cancel")
        caller.request("POST", "/queue", json={"delete": ["second"]})
        caller.request("POST", "/interrupt", json={"prompt_id": "first"})
        listener.wait_until_done("first")

    assert cancel.status_code == 405
    assert caller.job("first")["status"] == "cancelled"
    assert caller.job("second")["status"] == "unknown"
    assert caller.get("/system_stats")["system"]["comfyui_version"] == "0.8.0"


def test_interrupt_without_an_id_stops_whatever_runs(start: Start) -> None:
    caller = start(step_s=0.05)
    with Listener(caller.url, wants_metadata=True) as listener:
        prompt_id = caller.submit(klein_graph(steps=20), client_id=listener.client_id).json()[
            "prompt_id"
        ]
        listener.wait_for(lambda: "progress" in listener.types())
        caller.request("POST", "/interrupt")
        listener.wait_until_done(prompt_id)

    assert caller.job(prompt_id)["status"] == "cancelled"


@pytest.mark.parametrize(
    ("origin", "status"),
    [(None, 200), ("http://evil.example", 403), ("http://127.0.0.1:1", 403), ("same", 200)],
)
def test_pages_of_other_origins_are_refused(origin: str | None, status: int, start: Start) -> None:
    caller = start()
    headers = {} if origin is None else {"Origin": caller.url if origin == "same" else origin}

    assert caller.request("GET", "/prompt", headers=headers).status_code == status


def test_a_second_socket_under_one_id_goes_silent_when_the_first_ends(start: Start) -> None:
    caller = start()
    with (
        Listener(caller.url, wants_metadata=True) as other,
        Listener(caller.url, wants_metadata=True) as first,
        Listener(caller.url, client_id=first.client_id, wants_metadata=True) as second,
    ):
        first.close()
        other.wait_for(lambda: True)
        while caller.get("/simulator/state")["sockets"] != 1:
            pass
        prompt_id = caller.submit(klein_graph(), client_id=other.client_id).json()["prompt_id"]
        other.wait_until_done(prompt_id)

        assert second.types() == ["status", "feature_flags"]
        assert not second.is_closed


def test_files_that_are_empty_or_half_written_are_served_with_200(
    start: Start, tmp_path: Path
) -> None:
    caller = start()
    (tmp_path / "output" / "empty.png").touch()

    reply = caller.request("GET", "/view", params={"filename": "empty.png"})

    assert (reply.status_code, reply.content) == (200, b"")


def test_a_png_embeds_its_graph_and_the_extra_metadata(start: Start, tmp_path: Path) -> None:
    caller = start()
    graph = klein_graph(prefix="sub/folder/art")
    with Listener(caller.url, wants_metadata=True) as listener:
        extra = {"extra_pnginfo": {"workflow": {"version": 1}}}
        reply = caller.submit(graph, client_id=listener.client_id, extra_data=extra)
        prompt_id = reply.json()["prompt_id"]
        listener.wait_until_done(prompt_id)

    (file,) = caller.job(prompt_id)["outputs"]["14"]["images"]
    assert file == {"filename": "art_00001_.png", "subfolder": "sub/folder", "type": "output"}
    with Image.open(tmp_path / "output" / "sub" / "folder" / "art_00001_.png") as image:
        assert json.loads(image.info["prompt"]) == graph
        assert json.loads(image.info["workflow"]) == {"version": 1}


def test_a_batch_gives_one_picture_for_each_variation(start: Start) -> None:
    caller = start()
    graph = klein_graph()
    repeat = {"class_type": "RepeatLatentBatch", "inputs": {"samples": ["3", 0], "amount": 3}}
    graph["17"] = repeat
    graph["12"]["inputs"]["latent_image"] = ["17", 0]
    with Listener(caller.url, wants_metadata=True) as listener:
        prompt_id = caller.submit(graph, client_id=listener.client_id).json()["prompt_id"]
        listener.wait_until_done(prompt_id)

    images = caller.job(prompt_id)["outputs"]["14"]["images"]
    assert [image["filename"] for image in images] == [
        f"llamasketch_{number:05}_.png" for number in (1, 2, 3)
    ]
    contents = {caller.request("GET", "/view", params=image).content for image in images}
    assert len(contents) == 3


def test_a_prompt_without_previews_sends_none(start: Start) -> None:
    caller = start()
    with Listener(caller.url, wants_metadata=True) as listener:
        extra = {"preview_method": "none"}
        reply = caller.submit(klein_graph(), client_id=listener.client_id, extra_data=extra)
        listener.wait_until_done(reply.json()["prompt_id"])

    assert not any(kind.startswith("binary") for kind in listener.types())


def test_nodes_that_no_output_needs_may_be_broken(start: Start) -> None:
    caller = start()
    graph = klein_graph()
    graph["30"] = {"class_type": "VAEDecode", "inputs": {"samples": ["31", 0], "vae": ["99", 0]}}
    graph["31"] = {"class_type": "VAEEncode", "inputs": {"pixels": ["30", 0]}}
    graph["32"] = {"class_type": "LoadImage"}
    with Listener(caller.url, wants_metadata=True) as listener:
        prompt_id = caller.submit(graph, client_id=listener.client_id).json()["prompt_id"]
        listener.wait_until_done(prompt_id)

    assert caller.job(prompt_id)["status"] == "completed"


def test_free_unloads_the_models_and_the_next_prompt_loads_them(start: Start) -> None:
    caller = start(load_s=0.3)

    def run(seed: int) -> float:
        with Listener(caller.url, wants_metadata=True) as listener:
            reply = caller.submit(klein_graph(seed=seed), client_id=listener.client_id)
            listener.wait_until_done(reply.json()["prompt_id"])
        job = caller.job(reply.json()["prompt_id"])
        return float(job["execution_end_time"] - job["execution_start_time"])

    run(1)
    assert caller.get("/simulator/state")["models_loaded"] is True
    caller.request("POST", "/free", json={"unload_models": True})
    assert run(2) > 300


def test_an_empty_latent_with_a_reference_is_painted_from_the_reference(start: Start) -> None:
    caller = start()
    graph = klein_graph()
    graph["17"] = {
        "class_type": "ReferenceLatent",
        "inputs": {"conditioning": ["6", 0], "latent": ["3", 0]},
    }
    graph["18"] = {
        "class_type": "EmptyFlux2LatentImage",
        "inputs": {"width": 320, "height": 256, "batch_size": 1},
    }
    graph["11"]["inputs"]["positive"] = ["17", 0]
    graph["12"]["inputs"] |= {"latent_image": ["18", 0], "sigmas": ["10", 0]}
    with Listener(caller.url, wants_metadata=True) as listener:
        reply = caller.submit(graph, client_id=listener.client_id)
        listener.wait_until_done(reply.json()["prompt_id"])

    (file,) = caller.job(reply.json()["prompt_id"])["outputs"]["14"]["images"]
    content = caller.request("GET", "/view", params=file).content
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == (320, 256)


def test_restart_forgets_the_history_and_keeps_the_files(tmp_path: Path) -> None:
    names: list[str] = []
    for _ in range(2):
        arguments = [*COMMAND, "0", "--data-dir", str(tmp_path), "--step-seconds", "0"]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            caller = Caller(process.stdout.readline().split()[-1])
            try:
                assert caller.get("/history") == {}
                if not names:
                    caller.upload(png(outline()), "sketch.png", subfolder="llamasketch")
                with Listener(caller.url, wants_metadata=True) as listener:
                    prompt_id = str(uuid.uuid4())
                    caller.submit(
                        klein_graph(), client_id=listener.client_id, prompt_id=prompt_id
                    ).raise_for_status()
                    listener.wait_until_done(prompt_id)
                names.append(caller.job(prompt_id)["preview_output"]["filename"])
                caller.close()
                process.send_signal(signal.SIGTERM)
                assert process.wait(timeout=5) == 0
            finally:
                process.kill()

    assert names == ["llamasketch_00001_.png", "llamasketch_00002_.png"]


def test_sigterm_ends_a_hanging_simulator_at_once(tmp_path: Path) -> None:
    arguments = [*COMMAND, "0", "--data-dir", str(tmp_path), "--fault", "hang"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        caller = Caller(process.stdout.readline().split()[-1])
        try:
            caller.upload(png(outline()), "sketch.png", subfolder="llamasketch")
            caller.submit(klein_graph())
            caller.close()
            began_s = time.monotonic()
            process.send_signal(signal.SIGTERM)

            assert process.wait(timeout=5) == 0
            assert time.monotonic() - began_s < 3
        finally:
            process.kill()


def test_a_taken_port_is_said_in_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = subprocess.run(
            [*COMMAND, port], capture_output=True, text=True, timeout=20, check=False
        )

    assert result.returncode == 1
    assert result.stderr.startswith(f"Cannot listen on 127.0.0.1:{port}: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["--fault", "flood"], ["--step-seconds", "-1"], ["--server-version", "1"]]
)
def test_wrong_arguments_are_refused(arguments: list[str]) -> None:
    result = subprocess.run(
        [*COMMAND, "0", *arguments], capture_output=True, text=True, timeout=20, check=False
    )

    assert result.returncode == 2
    assert "Traceback" not in result.stderr
