"""Orders: what a client asks for, and the image that it got for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from scripts.havoc.hues import hue_of_user, sketch

DONE_WITHIN_S = 300.0


@dataclass(frozen=True, slots=True)
class Order:
    """One image to be made from one sketch; `number` is the sketch's place on the colour wheel."""

    number: int
    sketch: bytes
    seed: int
    denoise: float = 0.75
    steps: int = 4
    side_px: int = 512


@dataclass(frozen=True, slots=True)
class Made:
    """An image in its client's hands. Moments are in seconds since 1970.

    `prompt_id` is the node's name for the work; `moments` says when the client heard what, and
    `ended_at` when the platform says that it ended.
    """

    order: Order
    prompt_id: UUID
    asked_at: float
    done_at: float
    image: bytes
    moments: Mapping[str, float] = field(default_factory=dict)
    ended_at: float = 0.0


class Client(Protocol):
    """Somebody who sends orders and gets images."""

    def send(self, order: Order) -> None:
        """Send an order; return once it was accepted."""

    def take(self) -> Made:
        """Wait for the next image of any order that was sent, and fetch it."""

    def close(self) -> None:
        """Hang up."""


class NotMade(Exception):
    """An order was refused or failed, or took too long: nothing can be measured."""


def orders_of(count: int, *, wheel: int, denoise: float = 0.75, steps: int = 4) -> list[Order]:
    """Orders with sketches of different colours, `wheel` of them around the colour wheel.

    No two are alike, or a node would take the one from what it keeps of the other.
    """
    return [
        Order(
            number % wheel,
            sketch(hue_of_user(number % wheel, wheel), shift_px=number, side_px=512),
            seed=1000 + number,
            denoise=denoise,
            steps=steps,
        )
        for number in range(count)
    ]
