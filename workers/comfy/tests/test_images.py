"""Files on their way: whole, cut short, or no images at all."""

import io
from uuid import UUID

import pytest
from PIL import Image, PngImagePlugin

from workers.comfy.client import ComfyClient
from workers.comfy.errors import (
    BadReply,
    FileMissing,
    FileTooLarge,
    NodeUnreachable,
    TruncatedFile,
)
from workers.comfy.images import ImageReceiver, content_name
from workers.comfy.protocol import OutputFile
from workers.comfy.tests.conftest import QUICK, MakeClient
from workers.comfy.tests.fake_server import FakeServer, chunked, half, never, trickle
from workers.comfy.tests.replay import png, png_chunk

FILE = OutputFile("image_00001_.png", f"llamasketch/{UUID(int=7)}", "output", "14")


def picture(format_: str) -> bytes:
    """A picture with enough in it to have several chunks."""
    file = io.BytesIO()
    info = PngImagePlugin.PngInfo()
    info.add_text("prompt", "a private prompt")
    info.add_itxt("workflow", "private too", zip=True)
    options = {"pnginfo": info} if format_ == "PNG" else {}
    Image.effect_noise((256, 256), 90).convert("RGB").save(file, format_, **options)
    return file.getvalue()


WHOLE = {format_: picture(format_) for format_ in ("PNG", "JPEG", "WEBP")}


def receive(data: bytes, *, part_bytes: int = 1 << 16) -> tuple[str, bytes]:
    file = io.BytesIO()
    receiver = ImageReceiver(file)
    for start in range(0, len(data), part_bytes):
        receiver.feed(data[start : start + part_bytes])
    content_type = receiver.finish()
    assert receiver.received_bytes == len(data)
    assert receiver.written_bytes == len(file.getvalue())
    return content_type, file.getvalue()


@pytest.mark.parametrize("part_bytes", [1, 7, 4096, 1 << 20])
@pytest.mark.parametrize("format_", WHOLE)
def test_whole_images_pass_however_they_arrive(format_: str, part_bytes: int) -> None:
    content_type, data = receive(WHOLE[format_], part_bytes=part_bytes)

    assert content_type == f"image/{format_.lower()}"
    with Image.open(io.BytesIO(data)) as image, Image.open(io.BytesIO(WHOLE[format_])) as original:
        assert image.tobytes() == original.tobytes()
        assert "private" not in str(getattr(image, "text", ""))
    assert data == WHOLE[format_] or format_ == "PNG"


@pytest.mark.parametrize("missing", [1, 2, 4, 12, 100])
@pytest.mark.parametrize("format_", WHOLE)
def test_an_image_without_its_end_is_truncated(format_: str, missing: int) -> None:
    with pytest.raises(TruncatedFile):
        receive(WHOLE[format_][:-missing])


@pytest.mark.parametrize("format_", WHOLE)
def test_any_beginning_of_an_image_is_truncated(format_: str) -> None:
    for size in [*range(40), len(WHOLE[format_]) // 2]:
        with pytest.raises(TruncatedFile):
            receive(WHOLE[format_][:size])


@pytest.mark.parametrize(
    "data",
    [
        b"<html>not found</html>",
        b"GIF89a" + bytes(20),
        b"x",
        b"RIFF" + bytes(4) + b"WAVE" + bytes(9),
    ],
)
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(BadReply):
        receive(data)


def test_a_damaged_chunk_is_noticed() -> None:
    data = bytearray(WHOLE["PNG"])
    data[len(data) // 2] ^= 1

    with pytest.raises(TruncatedFile):
        receive(bytes(data))


def test_bytes_after_the_end_are_noticed() -> None:
    with pytest.raises(TruncatedFile):
        receive(png() + png_chunk(b"IEND", b""))


def test_names_follow_the_content() -> None:
    names = {content_name(data) for data in (*WHOLE.values(), b"", b"x")}

    assert sorted(name.rpartition(".")[2] for name in names) == ["bin", "bin", "jpg", "png", "webp"]
    assert all(len(name.partition(".")[0]) == 64 for name in names)


def test_fetch_asks_for_exactly_the_file(server: FakeServer, client: ComfyClient) -> None:
    server.answer("GET", "/view", WHOLE["WEBP"], content_type="image/webp")
    file = io.BytesIO()

    fetched = client.fetch(FILE, file, max_bytes=10**6)

    assert (fetched.content_type, fetched.size_bytes) == ("image/webp", len(WHOLE["WEBP"]))
    assert file.getvalue() == WHOLE["WEBP"]
    assert server.received[0].query == {
        "filename": FILE.name,
        "subfolder": FILE.subfolder,
        "type": "output",
    }


@pytest.mark.parametrize(
    "served", [b"", WHOLE["PNG"][: len(WHOLE["PNG"]) // 2]], ids=["empty", "half-written"]
)
def test_fetch_of_a_file_that_is_still_being_written(
    server: FakeServer, client: ComfyClient, served: bytes
) -> None:
    # The server says 200 and a length that fits what it sends.
    server.answer("GET", "/view", served, content_type="image/png")

    with pytest.raises(TruncatedFile):
        client.fetch(FILE, io.BytesIO(), max_bytes=10**6)


def test_fetch_over_a_connection_that_breaks(server: FakeServer, client: ComfyClient) -> None:
    server.handlers["GET", "/view"] = half(WHOLE["PNG"])

    with pytest.raises(TruncatedFile):
        client.fetch(FILE, io.BytesIO(), max_bytes=10**6)


def test_fetch_from_a_server_that_falls_silent(server: FakeServer, make_client: MakeClient) -> None:
    client = make_client(server, timeouts=QUICK)
    for handler in (never, trickle(WHOLE["PNG"])):
        server.handlers["GET", "/view"] = handler

        with pytest.raises(NodeUnreachable) as caught:
            client.fetch(FILE, io.BytesIO(), max_bytes=10**6)

        assert caught.value.timed_out


def test_fetch_of_a_file_without_an_announced_length(
    server: FakeServer, client: ComfyClient
) -> None:
    server.handlers["GET", "/view"] = chunked(WHOLE["PNG"])

    assert client.fetch(FILE, io.BytesIO(), max_bytes=10**6).content_type == "image/png"
    with pytest.raises(FileTooLarge):
        client.fetch(FILE, io.BytesIO(), max_bytes=1000)


def test_fetch_takes_no_more_than_asked_for(server: FakeServer, client: ComfyClient) -> None:
    server.answer("GET", "/view", WHOLE["PNG"], content_type="image/png")
    file = io.BytesIO()

    with pytest.raises(FileTooLarge):
        client.fetch(FILE, file, max_bytes=len(WHOLE["PNG"]) - 1)

    assert file.getvalue() == b""
    assert client.fetch(FILE, file, max_bytes=len(WHOLE["PNG"])).content_type == "image/png"


def test_fetch_of_a_missing_file(server: FakeServer, client: ComfyClient) -> None:
    with pytest.raises(FileMissing):
        client.fetch(FILE, io.BytesIO(), max_bytes=1000)


def test_fetch_of_something_else(server: FakeServer, client: ComfyClient) -> None:
    server.answer("GET", "/view", b"<html>hello there</html>", content_type="text/html")

    with pytest.raises(BadReply):
        client.fetch(FILE, io.BytesIO(), max_bytes=1000)
