#!/usr/bin/env python3
"""A smoke test of a ComfyUI: one picture, made as a job's is, and looked at.

It uploads a sketch, runs the paint workflow on it, fetches the image and checks that it is a whole
PNG of the right size that is not blank, since a defective GPU reports success with a black one.

Standard library alone, and one file: it runs on the GPU machine, where the project is not. Despite
its name it is no test of the project; scripts/tests/test_test_inference.py is.
"""

from __future__ import annotations

import argparse
import http.client
import json
import secrets
import struct
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

GOOD, BAD, NOT_ASKED = 0, 1, 2  # the exit status

DEFAULT_URL = "http://127.0.0.1:18188"
PROMPT = "a small house beside a tree, watercolour"
REQUEST_TIMEOUT_S = 30.0
POLL_S = 0.1
FETCH_PAUSES_S = (0.2, 1.0)  # a server can serve a file before it is wholly written
# As generation/images.py judges: a blank picture's channels differ by no more.
BLANK_RANGE = 2
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
UNKNOWN_MAX_S = 10.0  # chosen: a prompt that the server has not heard of for that long is lost

# As deploy/comfyui/workflows/paint.json, held equal by a test.
PAINT: dict[str, dict[str, Any]] = {
    "1": {"class_type": "LoadImage", "inputs": {"image": ""}},
    "2": {"class_type": "VAELoader", "inputs": {"vae_name": "flux2-vae.safetensors"}},
    "3": {"class_type": "VAEEncode", "inputs": {"pixels": ["16", 0], "vae": ["2", 0]}},
    "4": {
        "class_type": "UNETLoader",
        "inputs": {"unet_name": "flux-2-klein-4b.safetensors", "weight_dtype": "default"},
    },
    "5": {
        "class_type": "CLIPLoader",
        "inputs": {"clip_name": "qwen_3_4b.safetensors", "type": "flux2"},
    },
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["5", 0]}},
    "7": {"class_type": "ConditioningZeroOut", "inputs": {"conditioning": ["6", 0]}},
    "8": {"class_type": "RandomNoise", "inputs": {"noise_seed": 0}},
    "9": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "euler"}},
    "10": {"class_type": "Flux2Scheduler", "inputs": {"steps": 4, "width": 512, "height": 512}},
    "11": {
        "class_type": "CFGGuider",
        "inputs": {"model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "cfg": 1.0},
    },
    "12": {
        "class_type": "SamplerCustomAdvanced",
        "inputs": {
            "noise": ["8", 0],
            "guider": ["11", 0],
            "sampler": ["9", 0],
            "sigmas": ["15", 1],
            "latent_image": ["3", 0],
        },
    },
    "13": {"class_type": "VAEDecode", "inputs": {"samples": ["12", 0], "vae": ["2", 0]}},
    "14": {"class_type": "SaveImage", "inputs": {"images": ["13", 0], "filename_prefix": ""}},
    "15": {"class_type": "SplitSigmasDenoise", "inputs": {"sigmas": ["10", 0], "denoise": 0.75}},
    "16": {
        "class_type": "ImageScale",
        "inputs": {
            "image": ["1", 0],
            "upscale_method": "lanczos",
            "width": 512,
            "height": 512,
            "crop": "disabled",
        },
    },
}


class SmokeFailed(Exception):
    """No good picture came; the message says why in a sentence."""


class NotAsked(Exception):
    """No ComfyUI could be asked for one; the message says why in a sentence."""


class BadPicture(Exception):
    """The file is not the PNG it should be; the message says what it is."""


@dataclass(frozen=True, slots=True)
class Timings:
    """How long each part took. `running_s` is by the server's clock."""

    queued_s: float
    running_s: float
    fetched_s: float

    def __str__(self) -> str:
        total_s = self.queued_s + self.running_s + self.fetched_s
        return (
            f"queued {self.queued_s:.2f} s, running {self.running_s:.2f} s, "
            f"fetched {self.fetched_s:.2f} s, together {total_s:.2f} s"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Have one picture made, print what came of it, and return the exit status."""
    flags = _parser().parse_args(arguments)
    server = Server(flags.url)
    try:
        server.wait(flags.wait)
        timings = smoke(server, side_px=flags.size, within_s=flags.timeout)
    except NotAsked as reason:
        print(reason, file=sys.stderr)
        return NOT_ASKED
    except (SmokeFailed, BadPicture) as reason:
        print(reason, file=sys.stderr)
        return BAD
    print(f"A good picture of {flags.size} × {flags.size} pixels: {timings}.")
    return GOOD


class Server:
    """The calls of a ComfyUI that this needs."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        # Past any proxy of the environment: the server is on this machine or through a tunnel.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def wait(self, seconds: float) -> None:
        """Wait until it answers.

        Raises:
            NotAsked: it did not in that time, or what answers is not a ComfyUI.
        """
        ends_at = time.monotonic() + seconds
        while True:
            try:
                self.get_json("/system_stats")
            except NotAsked:
                if time.monotonic() >= ends_at:
                    raise
            else:
                return
            time.sleep(min(1.0, max(0.0, ends_at - time.monotonic())))

    def get_json(self, path: str) -> dict[str, Any]:
        """The object at a path; empty where there is none."""
        status, body = self._call("GET", path)
        if status in (404, 405):
            return {}
        return self._object(status, body)

    def get_bytes(self, path: str) -> bytes:
        """What is at a path; empty where there is nothing."""
        status, body = self._call("GET", path)
        return body if status == 200 else b""

    def post(self, path: str, body: bytes, content_type: str) -> tuple[int, dict[str, Any]]:
        """Send a body; the status and the object that came back."""
        status, answer = self._call("POST", path, body, content_type)
        return status, self._object(status, answer)

    def _object(self, status: int, body: bytes) -> dict[str, Any]:
        if status in (401, 403, 407):
            raise NotAsked(
                f"{self._url} wants a login (HTTP {status}): that is a proxy's port. ComfyUI "
                "itself listens on 18188."
            )
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise NotAsked(f"What answers at {self._url} is not a ComfyUI (HTTP {status}).")
        return answer

    def _call(
        self, method: str, path: str, body: bytes | None = None, content_type: str = ""
    ) -> tuple[int, bytes]:
        headers = {"Content-Type": content_type} if body is not None else {}
        request = urllib.request.Request(self._url + path, body, headers, method=method)
        try:
            with self._opener.open(request, timeout=REQUEST_TIMEOUT_S) as reply:
                return reply.status, reply.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise NotAsked(f"No ComfyUI answers at {self._url}: {reason}.") from None


def smoke(server: Server, *, side_px: int, within_s: float) -> Timings:
    """Have a sketch painted, and look at the picture.

    Raises:
        NotAsked: the server stopped answering.
        SmokeFailed: it refused, failed, forgot or never finished the prompt.
        BadPicture: it made no whole PNG of this size with something on it.
    """
    prompt_id = str(uuid.uuid4())
    graph = paint(
        upload(server, sketch_png(side_px)), prompt_id, side_px=side_px,
        # Another each time: a server gives back what it made before for the same graph.
        seed=secrets.randbelow(2**32),
    )  # fmt: skip
    submitted_at = time.monotonic()
    status, answer = server.post(
        "/prompt",
        json.dumps({"prompt": graph, "prompt_id": prompt_id}).encode(),
        "application/json",
    )
    if status != 200 or answer.get("node_errors"):
        raise SmokeFailed(f"ComfyUI refused the workflow: {_why_refused(answer)}")
    record = follow(server, prompt_id, within_s=within_s)
    ended_at = time.monotonic()
    picture = fetch(server, record, side_px=side_px)
    fetched_s = time.monotonic() - ended_at
    picture.check()
    running_s = min(_running_s(record), ended_at - submitted_at)
    return Timings(ended_at - submitted_at - running_s, running_s, fetched_s)


def paint(sketch: str, prompt_id: str, *, side_px: int, seed: int) -> dict[str, dict[str, Any]]:
    """The workflow, for a square picture."""
    graph: dict[str, dict[str, Any]] = json.loads(json.dumps(PAINT))
    graph["1"]["inputs"]["image"] = sketch
    graph["6"]["inputs"]["text"] = PROMPT
    graph["8"]["inputs"]["noise_seed"] = seed
    graph["14"]["inputs"]["filename_prefix"] = f"llamasketch/{prompt_id}/image"
    for node in ("10", "16"):
        graph[node]["inputs"] |= {"width": side_px, "height": side_px}
    return graph


def upload(server: Server, png: bytes) -> str:
    """Upload a sketch; what LoadImage takes."""
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="smoke.png"\r\n'
        "Content-Type: image/png\r\n\r\n".encode(),
        png,
        f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="subfolder"\r\n\r\nllamasketch'
        f"\r\n--{boundary}--\r\n".encode(),
    ]
    status, answer = server.post(
        "/upload/image", b"".join(parts), f"multipart/form-data; boundary={boundary}"
    )
    if status != 200 or "name" not in answer:
        raise SmokeFailed(f"ComfyUI took no upload (HTTP {status}).")
    folder = answer.get("subfolder", "")
    return f"{folder}/{answer['name']}" if folder else str(answer["name"])


def follow(server: Server, prompt_id: str, *, within_s: float) -> dict[str, Any]:
    """Ask until the prompt is done; its record."""
    began_at = time.monotonic()
    seen_at = began_at
    while (now := time.monotonic()) < began_at + within_s:
        record = server.get_json(f"/api/jobs/{prompt_id}")
        if not record:
            # A server without that route, or one that has not noticed the prompt yet.
            record = _from_history(server.get_json(f"/history/{prompt_id}").get(prompt_id))
        status = record.get("status")
        if status == "completed":
            return record
        if status in ("failed", "cancelled"):
            raise SmokeFailed(f"The prompt {status}: {_why_failed(record)}")
        if record or prompt_id in json.dumps(server.get_json("/queue")):
            seen_at = now
        elif now - seen_at > UNKNOWN_MAX_S:
            raise SmokeFailed("ComfyUI took the prompt and knows nothing of it any more.")
        time.sleep(POLL_S)
    raise SmokeFailed(f"No picture within {within_s:.0f} s.")


def fetch(server: Server, record: dict[str, Any], *, side_px: int) -> Picture:
    """The image, asked for again while its file is not whole."""
    files = [
        file
        for output in record.get("outputs", {}).values()
        for file in output.get("images", [])
        if file.get("type") == "output"
    ]
    if not files:
        raise SmokeFailed("The prompt completed and left no image.")
    names = {name: files[0].get(name, "") for name in ("filename", "subfolder", "type")}
    path = f"/view?{urllib.parse.urlencode(names)}"
    for pause_s in FETCH_PAUSES_S:
        with suppress(BadPicture):
            return Picture.decode(server.get_bytes(path), side_px)
        time.sleep(pause_s)
    return Picture.decode(server.get_bytes(path), side_px)


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded PNG: rows of 8-bit samples, and how many of them are a pixel."""

    rows: list[bytes]
    channels: int

    @classmethod
    def decode(cls, data: bytes, side_px: int) -> Picture:
        """Read the kind of PNG that ComfyUI writes.

        Raises:
            BadPicture: it is cut off, damaged, of another size, or something else.
        """
        chunks = {b"IHDR": b"", b"IDAT": b""}
        for kind, body in _chunks(data):
            chunks[kind] = chunks.get(kind, b"") + body
        if b"IEND" not in chunks or len(chunks[b"IHDR"]) != 13:
            raise BadPicture("The picture's file is not a whole PNG.")
        width, height, depth, colour_type, _, _, is_interlaced = struct.unpack(
            ">IIBBBBB", chunks[b"IHDR"]
        )
        if (width, height) != (side_px, side_px):
            raise BadPicture(f"The picture is {width} × {height}, not {side_px} × {side_px}.")
        if depth != 8 or colour_type not in (0, 2, 6) or is_interlaced:
            raise BadPicture("The picture is no PNG of the kind that ComfyUI writes.")
        channels = {0: 1, 2: 3, 6: 4}[colour_type]
        try:
            packed = zlib.decompress(chunks[b"IDAT"])
        except zlib.error:
            packed = b""
        if len(packed) != height * (width * channels + 1):
            raise BadPicture("The picture's pixels cannot be unpacked.")
        return cls(list(_unfiltered(packed, width * channels, channels)), channels)

    def check(self) -> None:
        """Raise BadPicture when it is of one colour."""
        ranges = []
        for colour in range(min(self.channels, 3)):  # a fourth one is alpha
            values = b"".join(row[colour :: self.channels] for row in self.rows)
            ranges.append((min(values), max(values)))
        if all(high - low <= BLANK_RANGE for low, high in ranges):
            is_black = all(high <= BLANK_RANGE for _, high in ranges)
            raise BadPicture(
                f"The picture is {'black' if is_black else 'of one colour'} all over: the GPU "
                "computes wrongly, or the VAE overflows. Run gpu_health_check.py."
            )


def sketch_png(side_px: int) -> bytes:
    """A house's outline, black on white: something for the model to paint over."""
    unit = side_px // 8
    rows = []
    for y in range(side_px):
        row = bytearray(b"\xff" * side_px * 3)
        for x in range(side_px):
            beside_px = abs(x - 4 * unit)  # the middle
            is_wall = 4 * unit <= y <= 7 * unit and abs(beside_px - 2 * unit) < 3
            is_floor = beside_px <= 2 * unit and abs(y - 7 * unit) < 3
            is_roof = unit <= y <= 4 * unit and abs(beside_px - (y - unit)) < 3
            if is_wall or is_floor or is_roof:
                row[3 * x : 3 * x + 3] = b"\0\0\0"
        rows.append(b"\0" + bytes(row))
    header = struct.pack(">IIBBBBB", side_px, side_px, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b""))
    return PNG_SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    if not data.startswith(PNG_SIGNATURE):
        raise BadPicture("What ComfyUI gave as the picture is not a PNG.")
    at = len(PNG_SIGNATURE)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        checksum = data[at + 8 + length : at + 12 + length]
        if checksum != struct.pack(">I", zlib.crc32(kind + body)):
            raise BadPicture("The picture's file is damaged or cut off.")
        yield kind, body
        at += 12 + length


def _unfiltered(packed: bytes, length: int, step: int) -> Iterator[bytes]:
    """Undo the filters of PNG's rows (PNG specification, section 9)."""
    above = bytearray(length)
    for start in range(0, len(packed), length + 1):
        kind, row = packed[start], bytearray(packed[start + 1 : start + 1 + length])
        if kind > 4:
            raise BadPicture("The picture's pixels cannot be unpacked.")
        for at in range(length if kind else 0):
            left = row[at - step] if at >= step else 0
            up = above[at]
            corner = above[at - step] if at >= step else 0
            added = (left, up, (left + up) // 2, _nearest(left, up, corner))[kind - 1]
            row[at] = (row[at] + added) & 0xFF
        above = row
        yield bytes(row)


def _nearest(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((left, up, corner), key=lambda value: abs(guess - value))


def _from_history(entry: dict[str, Any] | None) -> dict[str, Any]:
    if not entry:
        return {}
    execution = entry.get("status", {})
    done = execution.get("status_str") != "error"
    return {
        "status": "completed" if done else "failed",
        "outputs": entry.get("outputs", {}),
        "execution_status": execution,
    }


def _messages(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return dict(record.get("execution_status", {}).get("messages", []))


def _running_s(record: dict[str, Any]) -> float:
    messages = _messages(record)
    started = messages.get("execution_start", {}).get("timestamp", 0)
    ended = messages.get("execution_success", {}).get("timestamp", started)
    return float(max(0, ended - started)) / 1000


def _why_failed(record: dict[str, Any]) -> str:
    error = record.get("execution_error") or _messages(record).get("execution_error", {})
    lines = str(error.get("exception_message", "")).strip().splitlines()
    node = f" in {error['node_type']}" if error.get("node_type") else ""
    return f"{lines[0] if lines else 'ComfyUI gave no reason'}{node}."


def _why_refused(answer: dict[str, Any]) -> str:
    for node in (answer.get("node_errors") or {}).values():
        for error in node.get("errors", []):
            return f"{node.get('class_type')}: {error.get('message')} ({error.get('details')})."
    error = answer.get("error", {})
    message = error.get("message") if isinstance(error, dict) else error
    return f"{message or 'without a reason'}."


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="test_inference.py",
        description="Have a ComfyUI make one picture, and look at it. Exits 0 when it is good, 1 "
        "when none or a bad one came, 2 when there is no ComfyUI to ask.",
    )
    parser.add_argument("url", nargs="?", default=DEFAULT_URL, help=f"default: {DEFAULT_URL}")
    parser.add_argument("--size", type=_side, default=512, metavar="PX", help="default: 512")
    parser.add_argument(
        "--wait", type=float, default=0.0, metavar="S", help="for ComfyUI to answer; default: 0"
    )
    parser.add_argument(
        "--timeout", type=float, default=600.0, metavar="S",
        help="for the picture, loading the models included; default: 600",
    )  # fmt: skip
    return parser


def _side(text: str) -> int:
    side_px = int(text)
    if not 64 <= side_px <= 2048 or side_px % 16:
        raise argparse.ArgumentTypeError("give a multiple of 16 from 64 to 2048")
    return side_px


if __name__ == "__main__":
    sys.exit(main())
