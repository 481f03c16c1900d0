"""What a program may send by mistake: a refusal that names the field, and no job."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import Any

import pytest
from PIL import Image

from tests.process.pictures import encode, sketch
from tests.process.stack import Stack

pytestmark = pytest.mark.process


def _huge_png() -> bytes:
    """The header of a PNG of 50,000 × 50,000 pixels, with hardly any data."""
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def _animated_gif() -> bytes:
    frames = [Image.new("P", (64, 64), colour) for colour in (1, 2, 3)]
    return encode(frames[0], "GIF", save_all=True, append_images=frames[1:])


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


FIELDS: list[Any] = [
    pytest.param("sketch", _text(b"this is no image at all"), id="not-an-image"),
    pytest.param("sketch", _text(sketch()[:500]), id="half-an-image"),
    pytest.param("sketch", _text(b"\x89PNG" + b"\0" * 20_000_000), id="twenty-megabytes"),
    pytest.param("sketch", _text(_huge_png()), id="fifty-thousand-pixels-square"),
    pytest.param("sketch", _text(_animated_gif()), id="animated-gif"),
    pytest.param("sketch", "", id="empty-sketch"),
    pytest.param("sketch", "%%% not base64 %%%", id="not-base64"),
    pytest.param("sketch", "preset:../../secret_key", id="preset-that-climbs"),
    pytest.param("sketch", 12, id="sketch-is-a-number"),
    pytest.param("prompt", "x" * 10_000, id="long-prompt"),
    pytest.param("prompt", ["a"], id="prompt-is-a-list"),
    pytest.param("denoise", float("nan"), id="denoise-nan"),
    pytest.param("denoise", float("inf"), id="denoise-infinite"),
    pytest.param("denoise", 1.5, id="denoise-over-one"),
    pytest.param("denoise", "strong", id="denoise-is-a-word"),
    pytest.param("width", 17, id="width-17"),
    pytest.param("height", 100_000, id="height-100000"),
    pytest.param("width", "wide", id="width-is-a-word"),
    pytest.param("steps", 0, id="no-steps"),
    pytest.param("steps", 4.5, id="half-a-step"),
    pytest.param("seed", -1, id="negative-seed"),
    pytest.param("seed", 2**60, id="seed-beyond-javascript"),
    pytest.param("count", 129, id="count-129"),
    pytest.param("count", None, id="count-null"),
    pytest.param("mode", "sculpt", id="unknown-mode"),
    pytest.param("lane", "fast", id="unknown-lane"),
    pytest.param("colour", "red", id="unknown-field"),
]


@pytest.mark.parametrize(("field", "value"), FIELDS)
def test_a_wrong_field_is_refused_by_name(stack: Stack, field: str, value: object) -> None:
    api = stack.user("careless")
    body: dict[str, object] = {
        "sketch": _text(sketch(side_px=64)), "prompt": "a house", "mode": "paint",
        "denoise": 0.75, "steps": 4, "width": 512, "height": 512,
    }  # fmt: skip
    text = json.dumps(body | {field: value})  # with NaN and Infinity, as Python writes them
    headers = {"Content-Type": "application/json"}
    answer = api.request("POST", "/api/generate", data=text, headers=headers)

    assert 400 <= answer.status_code < 500, (answer.status_code, answer.text)
    refusal = answer.json()
    assert set(refusal) == {"code", "message", "extra"}
    assert field in refusal["extra"].get("fields", {}), refusal
    assert refusal["extra"]["fields"][field][0]
    assert api.jobs() == []
    assert api.used_today() == 0


BODIES: list[Any] = [
    pytest.param(b"", "application/json", id="empty"),
    pytest.param(b"{", "application/json", id="broken-json"),
    pytest.param(b"[]", "application/json", id="a-list"),
    pytest.param(b"null", "application/json", id="null"),
    pytest.param(b"\xff\xfe", "application/json", id="not-utf8"),
    pytest.param(b"sketch=x", "application/x-www-form-urlencoded", id="a-form"),
]


@pytest.mark.parametrize(("body", "content_type"), BODIES)
def test_a_wrong_body_is_refused_with_a_reason(
    stack: Stack, body: bytes, content_type: str
) -> None:
    api = stack.user("careless")

    headers = {"Content-Type": content_type}
    answer = api.request("POST", "/api/generate", data=body, headers=headers)

    assert 400 <= answer.status_code < 500, (answer.status_code, answer.text)
    refusal = answer.json()
    assert refusal["code"]
    assert refusal["message"]
    assert api.jobs() == []
