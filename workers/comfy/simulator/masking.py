"""What masks do to pictures, with ComfyUI's polarity: 1 is where the mask applies."""

import numpy as np
from PIL import Image

from workers.comfy.simulator.values import Mask, Pixels, Plane

_LATENT_PX = 16  # FLUX.2's latent has a cell for 16 × 16 pixels


def resized(values: Plane, width: int, height: int) -> Plane:
    """Scale a mask, or leave it as it is where it has the size."""
    if values.shape == (height, width):
        return values
    image = Image.fromarray(values.astype(np.float32))
    scaled = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(scaled, dtype=np.float32)


def grown(values: Plane, expand: int, *, has_tapered_corners: bool) -> Plane:
    """Grow what is masked by some pixels, shrink it where `expand` is negative."""
    combine = np.maximum if expand > 0 else np.minimum
    neighbours = [(0, 1), (0, -1), (1, 0), (-1, 0)]
    if not has_tapered_corners:
        neighbours += [(1, 1), (1, -1), (-1, 1), (-1, -1)]
    height, width = values.shape
    for _ in range(abs(expand)):
        padded = np.pad(values, 1, mode="edge")
        for down, across in neighbours:
            moved = padded[1 + down : 1 + down + height, 1 + across : 1 + across + width]
            values = combine(values, moved)
    return values


def composited(destination: Pixels, source: Pixels, mask: Mask | None, *, x: int, y: int) -> Pixels:
    """Lay a picture over another, with its corner at (x, y), where the mask is 1."""
    height = min(destination.shape[0] - y, source.shape[0])
    width = min(destination.shape[1] - x, source.shape[1])
    if height <= 0 or width <= 0:
        return destination
    whole = mask.values if mask is not None else np.ones(source.shape[:2], np.float32)
    amount = resized(whole, source.shape[1], source.shape[0])[:height, :width]
    result = destination.copy()
    place = (slice(y, y + height), slice(x, x + width))
    result[place] = mixed(result[place], source[:height, :width], amount)
    return result


def held(painted: Pixels, latent_picture: Pixels, noise_mask: Mask) -> Pixels:
    """Keep what was in the latent where a noise mask is 0, by whole cells of the latent."""
    height, width = painted.shape[:2]
    cells = resized(noise_mask.values, width // _LATENT_PX, height // _LATENT_PX)
    amount = np.repeat(np.repeat(cells, _LATENT_PX, axis=0), _LATENT_PX, axis=1)
    return mixed(latent_picture, painted, amount)


def mixed(under: Pixels, over: Pixels, amount: Plane) -> Pixels:
    """Mix two pictures of one size; an amount of 0 or 1 leaves the pixels of one exactly."""
    share = amount[..., None]
    blend = under.astype(np.float32) * (1.0 - share) + over.astype(np.float32) * share
    pixels: Pixels = np.clip(blend + 0.5, 0.0, 255.0).astype(np.uint8)
    return pixels
