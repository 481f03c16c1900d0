"""Connected areas: finding, closing, cleaning and growing them with array operations."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Labels: TypeAlias = NDArray[np.int32]
"""The number of each pixel's area, shape (height, width)."""


def opened(mask: NDArray[np.bool_], *, radius_px: int) -> NDArray[np.bool_]:
    """Keep what is wider than twice the radius: a box blur finds its core, another regrows it."""
    image = Image.fromarray(np.where(mask, 255, 0).astype(np.uint8))
    core = np.asarray(image.filter(ImageFilter.BoxBlur(radius_px))) >= 250
    grown = Image.fromarray(np.where(core, 255, 0).astype(np.uint8))
    return mask & (np.asarray(grown.filter(ImageFilter.BoxBlur(radius_px + 2))) > 0)


def areas(kind: NDArray[np.int_], is_line: NDArray[np.bool_]) -> Labels:
    """Label the areas between the lines, closing gaps that a hand leaves in an outline.

    Thickened lines close the gaps. Where they cut an area into several, the parts grow back
    until they meet, which they do in the gap; all other areas stay whole.
    """
    whole = _label(kind)
    reach = max(3, round(min(kind.shape) * 0.016))
    image = Image.fromarray(np.where(is_line, 255, 0).astype(np.uint8))
    is_near = np.asarray(image.filter(ImageFilter.BoxBlur(reach))) > 0
    parts = drop_small(_label(np.where(is_near, 0, kind)), min_px=(2 * reach) ** 2)
    pairs = np.unique(whole.ravel().astype(np.int64) * (parts.max() + 1) + parts.ravel())
    owner, part = np.divmod(pairs, int(parts.max()) + 1)
    owner = owner[part != 0]
    is_cut = np.bincount(owner, minlength=int(whole.max()) + 1) > 1
    is_cut[0] = False
    if not is_cut.any():
        return whole
    inside = is_cut[whole]
    grown = grow(np.where(inside, parts, 0).astype(np.int32), within=whole * inside)
    # What no part reached is left open, as lines are, for the areas around it.
    merged = np.where(inside, np.where(grown > 0, grown + int(whole.max()), 0), whole)
    labels: Labels = merged.astype(np.int32)
    return labels


def _label(kind: NDArray[np.int_]) -> Labels:
    """Label the connected areas of equal kind from 1; kind 0 stays 0.

    Rows are cut into runs; runs that touch the row above are joined by pointer jumping, so that
    the whole is a handful of array operations however many runs there are.
    """
    height, width = kind.shape
    flat = kind.ravel()
    starts_here = np.ones(flat.size, dtype=bool)
    starts_here[1:] = flat[1:] != flat[:-1]
    starts_here[::width] = True
    run_of = np.cumsum(starts_here) - 1
    parent = np.arange(run_of[-1] + 1)
    above, below = run_of[:-width], run_of[width:]
    touching = (flat[:-width] == flat[width:]) & (flat[width:] != 0)
    is_first = touching.copy()
    is_first[1:] &= ~(
        touching[:-1] & (above[1:] == above[:-1]) & (below[1:] == below[:-1])
    )  # one pair for each contact is enough
    pairs = np.stack([above[is_first], below[is_first]], axis=1)
    while len(pairs):
        first, second = parent[pairs[:, 0]], parent[pairs[:, 1]]
        pairs = pairs[first != second]
        if not len(pairs):
            break
        first, second = parent[pairs[:, 0]], parent[pairs[:, 1]]
        np.minimum.at(parent, np.maximum(first, second), np.minimum(first, second))
        while not np.array_equal(parent, jumped := parent[parent]):
            parent = jumped
    run_kind = flat[starts_here]
    roots = np.where(run_kind == 0, -1, parent)
    _, dense = np.unique(roots, return_inverse=True)
    if (run_kind != 0).all():
        dense = dense + 1
    labels: Labels = dense[run_of].reshape(height, width).astype(np.int32)
    return labels


def drop_small(labels: Labels, *, min_px: int) -> Labels:
    counts = np.bincount(labels.ravel())
    keep = counts >= min_px
    keep[0] = False
    renumbered = np.where(keep, np.cumsum(keep), 0)
    kept: Labels = renumbered[labels].astype(np.int32)
    return kept if kept.any() else np.ones_like(labels)


def grow(labels: Labels, *, within: Labels | None = None) -> Labels:
    """Let areas grow into the pixels without a label, from all sides at once, until they meet.

    With `within`, an area stays on the number on which it began, and zero is not grown into.
    """
    padded = np.pad(labels, 1)
    bounds = None if within is None else np.pad(within, 1).ravel()
    flat, stride = padded.ravel(), padded.shape[1]
    is_open = padded == 0
    is_open[[0, -1]] = is_open[:, [0, -1]] = False
    places = np.flatnonzero(
        is_open if bounds is None else is_open & (bounds != 0).reshape(is_open.shape)
    )
    idle = turn = 0
    while len(places) and idle < 4:
        neighbours = places + (-stride, -1, stride, 1)[turn % 4]
        found = flat[neighbours]
        is_reached = found != 0
        if bounds is not None:
            is_reached &= bounds[neighbours] == bounds[places]
        flat[places[is_reached]] = found[is_reached]
        idle = 0 if is_reached.any() else idle + 1
        places = places[~is_reached]
        turn += 1
    grown: Labels = flat.reshape(padded.shape)[1:-1, 1:-1]
    return grown
