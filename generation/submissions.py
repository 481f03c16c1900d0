"""Submissions: what a caller asks for, checked, with its pictures as they came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

from generation.params import JobParams
from generation.states import Lane


@dataclass(frozen=True, slots=True)
class OwnImage:
    """One of the caller's images, to be used as a picture."""

    id: UUID


Picture: TypeAlias = bytes | OwnImage


@dataclass(frozen=True, slots=True)
class Anchor:
    """What stays as it is: where the mask is white, the image."""

    image: Picture
    mask: Picture


@dataclass(frozen=True, slots=True)
class Submission:
    """A checked request for images: one sketch, one set of parameters, `count` variations.

    The parameters name no pictures yet: the service keeps these and fills the names in.
    """

    sketch: Picture
    params: JobParams
    count: int
    lane: Lane
    references: tuple[Picture, ...] = ()
    anchor: Anchor | None = None
