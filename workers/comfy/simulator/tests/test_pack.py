"""The node pack on a server: what it does over HTTP."""

import io
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from workers.comfy.simulator.tests.client import Caller, Listener
from workers.comfy.simulator.tests.conftest import Start
from workers.comfy.simulator.tests.graphs import klein_graph

PAINT = Path(__file__).parents[4] / "deploy" / "comfyui" / "workflows" / "paint.json"
FOLDER = "llamasketch/0a0b0c0d-0000-4000-8000-00000000abcd"


def pack_graph(*, image_format: str = "webp", count: int = 1, prefix: str = "") -> dict[str, Any]:
    """The paint workflow with both of the pack's nodes in it."""
    graph: dict[str, Any] = json.loads(PAINT.read_text(encoding="utf-8"))
    graph["sketch"]["inputs"]["image"] = "llamasketch/sketch.png"
    graph["positive"]["inputs"]["text"] = "a lighthouse"
    graph["check"] = {"class_type": "LlamaSketchCheckLatent", "inputs": {"samples": ["sampler", 0]}}
    graph["decode"]["inputs"]["samples"] = ["check", 0]
    graph["save"] = {
        "class_type": "LlamaSketchSaveImage",
        "inputs": {
            "images": ["decode", 0],
            "filename_prefix": prefix or f"{FOLDER}/image",
            "format": image_format,
            "quality": 92,
        },
    }
    if count > 1:
        graph["repeated"] = {
            "class_type": "RepeatLatentBatch",
            "inputs": {"samples": ["latent", 0], "amount": count},
        }
        graph["sampler"]["inputs"]["latent_image"] = ["repeated", 0]
    return graph


def run(caller: Caller, graph: dict[str, Any]) -> dict[str, Any]:
    with Listener(caller.url, wants_metadata=True) as listener:
        prompt_id = caller.submit(graph, client_id=listener.client_id).json()["prompt_id"]
        listener.wait_until_done(prompt_id)
    return caller.job(prompt_id)


def saves(caller: Caller, subfolder: str = FOLDER) -> dict[str, dict[str, str]]:
    files: dict[str, dict[str, str]] = caller.get("/llamasketch/saves", subfolder=subfolder)[
        "files"
    ]
    return files


def settled(caller: Caller) -> dict[str, dict[str, str]]:
    """Await the end of all saves, and return their states."""
    deadline_s = time.monotonic() + 20
    pause = threading.Event()
    while not (files := saves(caller)) or {"waiting"} & {f["state"] for f in files.values()}:
        assert time.monotonic() < deadline_s, files
        pause.wait(0.01)
    return files


def view(caller: Caller, file: dict[str, str]) -> tuple[int, bytes]:
    reply = caller.request("GET", "/view", params=file)
    return reply.status_code, reply.content


def test_a_server_has_the_classes_and_the_routes_only_with_the_pack(start: Start) -> None:
    without, with_pack = start(), start(has_pack=True)

    for name in ("LlamaSketchSaveImage", "LlamaSketchCheckLatent"):
        assert without.get(f"/object_info/{name}") == {}
        described = with_pack.get(f"/object_info/{name}")[name]
        assert described["input"] == with_pack.get("/object_info")[name]["input"]
        assert described["category"] == "LlamaSketch"
    save = with_pack.get("/object_info/LlamaSketchSaveImage")["LlamaSketchSaveImage"]
    assert save["output_node"] is True
    assert save["input"]["required"]["format"][0] == ["webp", "webp-lossless", "png", "jpeg"]
    refused = without.submit(pack_graph())
    assert refused.json()["error"]["type"] == "missing_node_type"
    for path in ("/llamasketch/saves", "/llamasketch/file"):
        assert without.request("GET", path).status_code == 404
    assert with_pack.get("/api/llamasketch/file", subfolder=FOLDER) == {"state": "unknown"}
    assert with_pack.get("/api/llamasketch/saves", subfolder=FOLDER) == {"files": {}}


def test_a_prompt_completes_before_its_files_are_there(start: Start) -> None:
    caller = start(has_pack=True, encode_s=1.0)

    job = run(caller, pack_graph(count=3))
    promised = saves(caller)
    files = job["outputs"]["save"]["images"]
    early = [view(caller, file)[0] for file in files]

    assert job["status"] == "completed"
    names = [f"image_0000{number}_.webp" for number in (1, 2, 3)]
    assert [file["filename"] for file in files] == names
    assert {(file["subfolder"], file["type"]) for file in files} == {(FOLDER, "output")}
    assert promised == {name: {"state": "waiting", "error": ""} for name in names}
    assert early == [404, 404, 404]
    assert settled(caller) == {name: {"state": "written", "error": ""} for name in names}
    contents = [view(caller, file) for file in files]
    assert {status for status, _ in contents} == {200}
    assert len({content for _, content in contents}) == 3
    with Image.open(io.BytesIO(contents[0][1])) as image:
        assert image.format == "WEBP"
        assert image.size == (512, 512)


def test_the_packs_images_cost_the_execution_thread_nothing(start: Start) -> None:
    def execution_ms(caller: Caller, graph: dict[str, Any]) -> int:
        job = run(caller, graph)
        duration: int = job["execution_end_time"] - job["execution_start_time"]
        return duration

    encode_s = 2.0
    caller = start(has_pack=True, encode_s=encode_s)

    assert execution_ms(caller, klein_graph()) >= encode_s * 1000
    assert execution_ms(caller, pack_graph()) < encode_s * 1000


@pytest.mark.parametrize("image_format", ["webp", "webp-lossless", "png", "jpeg"])
def test_a_file_carries_neither_the_workflow_nor_the_prompt(
    start: Start, image_format: str
) -> None:
    caller = start(has_pack=True)

    job = run(caller, pack_graph(image_format=image_format))
    settled(caller)
    (file,) = job["outputs"]["save"]["images"]
    _, content = view(caller, file)

    assert b"lighthouse" not in content
    assert b"class_type" not in content
    assert b"LlamaSketch nodes" in content


def test_a_failed_write_is_told_and_the_prompt_is_complete_all_the_same(start: Start) -> None:
    caller = start("failed-write:every=2", has_pack=True)

    job = run(caller, pack_graph(count=2))
    states = settled(caller)

    assert job["status"] == "completed"
    failed = {"state": "failed", "error": "No space left on device"}
    assert sorted(states.values(), key=str) == [failed, {"state": "written", "error": ""}]
    for file in job["outputs"]["save"]["images"]:
        is_written = states[file["filename"]]["state"] == "written"
        assert view(caller, file)[0] == (200 if is_written else 404)


def test_a_file_is_given_under_its_name_once_it_is_written(start: Start) -> None:
    caller = start(has_pack=True, encode_s=1.0)
    asked = {"subfolder": FOLDER, "name": "image_00001_.jpg"}

    run(caller, pack_graph(image_format="jpeg"))
    early = caller.request("GET", "/llamasketch/file", params=asked)
    whole = caller.request("GET", "/api/llamasketch/file", params=asked | {"wait_s": "9"})

    assert (early.status_code, early.json()) == (202, {"state": "waiting"})
    assert (whole.status_code, whole.headers["Content-Type"]) == (200, "image/jpeg")
    assert int(whole.headers["Content-Length"]) == len(whole.content)
    with Image.open(io.BytesIO(whole.content)) as image:
        assert (image.format, image.size) == ("JPEG", (512, 512))


def test_the_faults_of_view_strike_files_that_were_promised(start: Start) -> None:
    caller = start(has_pack=True)
    run(caller, pack_graph())
    asked = {"subfolder": FOLDER, "name": "image_00001_.webp", "wait_s": "9"}

    def fetch() -> tuple[int, int, float]:
        began_s = time.monotonic()
        reply = caller.request("GET", "/llamasketch/file", params=asked)
        return reply.status_code, len(reply.content), time.monotonic() - began_s

    whole = fetch()
    caller.fault("missing-file", once=True)
    missing = fetch()
    caller.fault("truncated-file", once=True)
    half = fetch()
    caller.fault("slow-file", once=True, factor=1.0)
    late = fetch()

    assert missing[:2] == (404, len('{"state": "unknown"}'))
    assert half[:2] == (200, whole[1] // 2)
    assert late[:2] == whole[:2]
    assert late[2] > 0.24


def test_another_prompt_with_the_same_picture_names_files_of_its_own(start: Start) -> None:
    caller = start(has_pack=True)
    other = FOLDER.replace("abcd", "ffff")

    run(caller, pack_graph())
    job = run(caller, pack_graph(prefix=f"{other}/image"))

    # The picture came from the cache, the file did not.
    assert caller.get("/simulator/state")["executed"] == 2
    assert [file["subfolder"] for file in job["outputs"]["save"]["images"]] == [other]
    assert list(saves(caller, other)) == ["image_00001_.webp"]


def test_a_latent_that_is_not_a_number_stops_the_prompt_before_the_decoder(start: Start) -> None:
    caller = start("nan-image:once", has_pack=True)

    job = run(caller, pack_graph())

    assert job["status"] == "failed"
    assert job["execution_error"]["node_type"] == "LlamaSketchCheckLatent"
    said = job["execution_error"]["exception_message"]
    assert said.startswith("LlamaSketch: the latent is not a number")
    assert "decode" not in job["execution_error"]["executed"]
    assert saves(caller) == {}


def test_an_empty_latent_is_blank(start: Start) -> None:
    caller = start(has_pack=True)
    graph = pack_graph()
    graph["empty"] = {
        "class_type": "EmptyFlux2LatentImage",
        "inputs": {"width": 512, "height": 512, "batch_size": 1},
    }
    graph["check"]["inputs"]["samples"] = ["empty", 0]

    job = run(caller, graph)

    said = job["execution_error"]["exception_message"]
    assert said.startswith("LlamaSketch: the latent is blank")


def test_a_prefix_that_leads_out_of_the_output_folder_fails_the_prompt(
    start: Start, tmp_path: Path
) -> None:
    caller = start(has_pack=True)

    job = run(caller, pack_graph(prefix="../../escaped/image"))

    assert job["status"] == "failed"
    assert job["execution_error"]["node_type"] == "LlamaSketchSaveImage"
    assert not (tmp_path.parent / "escaped").exists()
    assert list(tmp_path.rglob("*.webp")) == []
