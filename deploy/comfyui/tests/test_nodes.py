"""The node classes with real tensors.

The one file that needs torch. It is no dependency of the project, since ComfyUI brings it on the
GPU machines, and has several hundred megabytes. What decides something lies in modules without it,
which are tested everywhere, and test_pack.py runs the classes with stand-ins. Where torch is, from
the project's folder:

    PYTHONPATH=. python -m pytest --noconftest -c /dev/null deploy/comfyui/tests
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deploy.comfyui.llamasketch_nodes import nodes
from deploy.comfyui.llamasketch_nodes.latents import BadLatent
from deploy.comfyui.llamasketch_nodes.saver import ImageSaver
from deploy.comfyui.tests.fakes import PATIENCE_S, until

torch = pytest.importorskip("torch", reason="torch is on GPU machines; see above")

SaveNode = Callable[..., dict[str, Any]]


@pytest.fixture
def save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SaveNode]:
    """Run the save node in a ComfyUI that has an output folder and no interruption."""
    folder_paths = ModuleType("folder_paths")
    folder_paths.get_output_directory = lambda: str(tmp_path)  # type: ignore[attr-defined]  # a stand-in
    monkeypatch.setitem(sys.modules, "folder_paths", folder_paths)
    saver = ImageSaver()
    monkeypatch.setattr(nodes, "image_saver", saver)

    def run(images: Any, **inputs: Any) -> dict[str, Any]:
        wanted = {"filename_prefix": "a/image", "format": "webp-lossless", "quality": 92, **inputs}
        shown = nodes.LlamaSketchSaveImage().save(images, **wanted)
        until(lambda: all(file.state == "written" for file in saver.states("a").values()))
        return shown

    yield run
    saver.close(timeout_s=PATIENCE_S)


def test_images_are_saved_in_the_order_of_the_batch_as_saveimage_rounds(
    save: SaveNode, tmp_path: Path
) -> None:
    images = torch.rand(3, 16, 24, 3)
    images[0, 0, 0] = torch.tensor([-0.5, 1.5, 0.999])

    shown = save(images)

    files = shown["ui"]["images"]
    assert files == [
        {"filename": f"image_0000{number}_.webp", "subfolder": "a", "type": "output"}
        for number in (1, 2, 3)
    ]
    # What ComfyUI's SaveImage computes.
    wanted = np.clip(255.0 * images.numpy(), 0, 255).astype(np.uint8)
    for file, pixels in zip(files, wanted, strict=True):
        data = (tmp_path / "a" / file["filename"]).read_bytes()
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_images_of_every_number_format_are_saved(
    save: SaveNode, tmp_path: Path, dtype: str
) -> None:
    save(torch.full((1, 8, 8, 3), 0.5, dtype=getattr(torch, dtype)), format="png")

    with Image.open(tmp_path / "a" / "image_00001_.png") as image:
        assert image.getpixel((0, 0)) == (127, 127, 127)


def test_a_later_change_of_the_tensor_does_not_reach_the_file(
    monkeypatch: pytest.MonkeyPatch, save: SaveNode, tmp_path: Path
) -> None:
    given: list[Any] = []
    images = torch.zeros(1, 8, 8, 3)

    class Keeping(ImageSaver):
        """A saver that keeps what it was given."""

        def save(self, pictures: Any, **options: Any) -> Any:
            given.extend(pictures)
            return super().save(pictures, **options)

    saver = Keeping()
    monkeypatch.setattr(nodes, "image_saver", saver)
    save(images)
    images.fill_(1.0)
    saver.close(timeout_s=PATIENCE_S)

    assert given[0].max() == 0


def latents(dtype: str = "float32") -> Any:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 128, 4, 4, generator=generator).to(getattr(torch, dtype))


def check(samples: Any) -> Any:
    return nodes.LlamaSketchCheckLatent().check(samples)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_a_good_latent_is_handed_on_as_it_is(dtype: str) -> None:
    samples = {"samples": latents(dtype), "batch_index": [0, 1]}

    (handed_on,) = check(samples)

    assert handed_on is samples


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_is_found_in_every_number_format(dtype: str, value: float) -> None:
    broken = latents(dtype)
    broken[1, 64, 2, 2] = value

    with pytest.raises(BadLatent, match="not a number"):
        check({"samples": broken})


def test_a_latent_of_one_value_is_blank() -> None:
    with pytest.raises(BadLatent, match="blank"):
        check({"samples": torch.zeros(1, 128, 4, 4)})


def test_tensors_of_an_inference_and_with_gradients_are_taken(
    save: SaveNode, tmp_path: Path
) -> None:
    with torch.inference_mode():
        check({"samples": latents() * 1})
        save(torch.rand(1, 8, 8, 3) * 1)
    check({"samples": latents().requires_grad_()})

    assert (tmp_path / "a" / "image_00001_.webp").exists()
