"""The smoke test of a GPU machine, against simulators as real processes."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image, ImageDraw

from scripts.launcher.places import ROOT
from scripts.test_inference import PAINT, BadPicture, Picture, sketch_png
from tests.services_plugin import free_port

SCRIPT = ROOT / "scripts" / "test_inference.py"
Start = Callable[..., str]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a simulator with faults; its URL."""
    processes: list[subprocess.Popen[str]] = []

    def begin(*flags: str) -> str:
        simulator = [sys.executable, "-m", "workers.comfy.simulator", "--port", "0"]
        command = [*simulator, "--step-seconds", "0.05", *flags]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout is not None
        return str(process.stdout.readline().split()[-1])

    yield begin
    for process in processes:
        process.terminate()
        process.communicate(timeout=20)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script as the GPU machine does: alone, away from the project, with no proxy used."""
    return subprocess.run(
        [sys.executable, "-I", str(SCRIPT), *arguments],
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "http_proxy": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_it_paints_as_jobs_do() -> None:
    kept = json.loads((ROOT / "deploy" / "comfyui" / "workflows" / "paint.json").read_text())

    assert unrolled(kept, "save") == unrolled(PAINT, "14")


def unrolled(graph: dict[str, Any], node_id: str) -> dict[str, Any]:
    """A graph node with the nodes that feed it in place of links, without what each run sets."""
    node = graph[node_id]
    set_by_runs = {"image", "text", "noise_seed", "filename_prefix"}
    inputs = {
        name: [unrolled(graph, value[0]), value[1]] if isinstance(value, list) else value
        for name, value in node["inputs"].items()
        if name not in set_by_runs or isinstance(value, list)
    }
    return {"class_type": node["class_type"], "inputs": inputs}


@pytest.mark.process
@pytest.mark.parametrize("flags", [(), ("--server-version", "0.8")], ids=["0.29", "0.8"])
def test_a_good_picture_passes_with_its_timings(flags: tuple[str, ...], start: Start) -> None:
    done = run(start(*flags), "--size", "256")

    assert done.stderr == ""
    assert done.returncode == 0
    assert done.stdout.startswith("A good picture of 256 × 256 pixels: queued ")
    assert "running 0." in done.stdout


@pytest.mark.process
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("black-image", "The picture is black all over"),
        ("nan-image", "The picture is black all over"),
        ("out-of-memory", "The prompt failed: CUDA out of memory"),
        ("node-error", "The prompt failed: "),
        ("refuse", "ComfyUI refused the workflow: "),
        ("truncated-file", "The picture's file is damaged or cut off."),
        ("missing-file", "What ComfyUI gave as the picture is not a PNG."),
        ("hang", "No picture within 3 s."),
        ("crash", "No ComfyUI answers at "),
    ],
)
def test_a_fault_fails_with_a_sentence(fault: str, said: str, start: Start) -> None:
    done = run(start("--fault", fault), "--size", "256", "--timeout", "3")

    assert done.stdout == ""
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == 1
    assert done.returncode == (2 if fault == "crash" else 1)


@pytest.mark.process
def test_a_file_that_is_whole_the_second_time_is_good(start: Start) -> None:
    done = run(start("--fault", "truncated-file:once"), "--size", "256")

    assert done.returncode == 0


@pytest.mark.process
def test_a_prompt_that_is_forgotten_is_told(start: Start) -> None:
    done = run(start("--fault", "lost-prompt"), "--size", "256", "--timeout", "30")

    assert done.stderr == "ComfyUI took the prompt and knows nothing of it any more.\n"
    assert done.returncode == 1


def test_nobody_there_is_not_a_bad_picture() -> None:
    url = f"http://127.0.0.1:{free_port()}"

    done = run(url, "--wait", "1")

    assert done.stderr.startswith(f"No ComfyUI answers at {url}: ")
    assert done.returncode == 2


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_pixels_are_read_as_pillow_reads_them(mode: str) -> None:
    noisy = Image.effect_noise((64, 64), 80).convert(mode)
    ImageDraw.Draw(noisy).ellipse((8, 8, 50, 40), fill=90 if mode == "L" else "red")

    picture = Picture.decode(png(noisy), 64)

    assert b"".join(picture.rows) == noisy.tobytes()
    picture.check()


@pytest.mark.parametrize(
    ("colour", "said"), [("black", "black"), ("#808080", "of one colour")], ids=["black", "grey"]
)
def test_a_blank_picture_is_bad(colour: str, said: str) -> None:
    with pytest.raises(BadPicture, match=f"is {said} all over"):
        Picture.decode(png(Image.new("RGB", (64, 64), colour)), 64).check()


def test_alpha_alone_is_no_picture() -> None:
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 255))
    image.putalpha(Image.linear_gradient("L").resize((64, 64)))

    with pytest.raises(BadPicture):
        Picture.decode(png(image), 64).check()


def test_another_size_is_bad() -> None:
    with pytest.raises(BadPicture, match="is 32 × 64, not 64 × 64"):
        Picture.decode(png(Image.new("RGB", (32, 64))), 64)


@pytest.mark.parametrize("length", [0, 7, 20, 100, -12, -1], ids=str)
def test_a_file_that_is_cut_off_is_bad(length: int) -> None:
    data = sketch_png(64)

    with pytest.raises(BadPicture):
        Picture.decode(data[:length], 64)


def test_a_changed_byte_is_bad() -> None:
    data = bytearray(sketch_png(64))
    data[60] ^= 1

    with pytest.raises(BadPicture, match="damaged"):
        Picture.decode(bytes(data), 64)


def test_the_sketch_is_black_lines_on_white() -> None:
    with Image.open(io.BytesIO(sketch_png(128))) as sketch:
        colours = sketch.convert("RGB").getcolors()

    assert colours is not None
    assert {colour for _, colour in colours} == {(0, 0, 0), (255, 255, 255)}
    assert max(colours)[1] == (255, 255, 255)
