"""The saver: an image is kept, or its attempt fails and touches nothing of anybody's."""

from __future__ import annotations

import io

import pytest
from PIL import Image

import workers.saver as saver_module
from generation.images import Decoded
from generation.models import Job
from generation.storage import blob_read, blob_write
from workers.download import Arrived, Fetched
from workers.failures import Failure
from workers.saver import image_save


def test_a_writer_that_gives_up_leaves_what_its_successor_has_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pixels = Image.effect_noise((64, 64), 50).convert("RGB")
    data = io.BytesIO()
    pixels.save(data, "PNG")
    image = Decoded(data.getvalue(), pixels)
    name = "images/ab/job/1-0.png"
    file = Arrived(name, "images/ab/job/1-0.t.webp", "image/png", len(image.data))
    fetched = Fetched(file, image, is_blank=False, is_kept=False)
    looks: list[None] = []

    def full(name: str, data: bytes) -> None:
        if len(looks) == 1:  # the lease ran out meanwhile, and another's disk had room
            blob_write(name, data)
        raise OSError("No space left on device")

    monkeypatch.setattr(saver_module, "blob_write", full)
    monkeypatch.setattr(saver_module, "WRITE_PAUSES_S", (0.0,))

    with pytest.raises(Failure) as failed:
        image_save(fetched, Job(), lambda: looks.append(None), method="")

    assert failed.value.code == "storage_full"
    assert blob_read(name) == data.getvalue()
