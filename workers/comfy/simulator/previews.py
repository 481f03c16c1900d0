"""The previews: the picture as it emerges from noise."""

import io

import numpy as np
from PIL import Image, ImageFilter

from workers.comfy.simulator.values import Pixels

_MAX_SIDE_PX = 512  # ComfyUI's MAX_PREVIEW_RESOLUTION
_LATENT_BLOCK_PX = 8


def preview_jpeg(
    picture: Pixels, step: int, steps: int, *, seed: int, is_blank: bool = False
) -> bytes:
    """Show a picture as it looks after `step` of `steps`: noise first, then more and more of it."""
    image = Image.fromarray(picture)
    image.thumbnail((_MAX_SIDE_PX, _MAX_SIDE_PX), Image.Resampling.BILINEAR)
    if not is_blank:
        image = _noisy(image, missing=1.0 - step / max(steps, 1), seed=seed + step)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=88)
    return stream.getvalue()


def _noisy(image: Image.Image, *, missing: float, seed: int) -> Image.Image:
    if missing <= 0.0:
        return image
    width, height = image.size
    rng = np.random.default_rng(seed % 2**64)
    blurred = image.filter(ImageFilter.GaussianBlur(1.0 + 9.0 * missing))
    blocks = (-(-height // _LATENT_BLOCK_PX), -(-width // _LATENT_BLOCK_PX), 3)
    noise = rng.normal(0.0, 1.0, blocks).astype(np.float32)
    spread = np.clip(128.0 + 60.0 * noise, 0, 255).astype(np.uint8)
    grain = Image.fromarray(spread).resize((width, height), Image.Resampling.BICUBIC)
    return Image.blend(blurred, grain, 0.75 * missing)
