"""One order at a time: what each client adds to the node's own time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scripts.measure.orders import Client, Made, Order
from scripts.measure.records import Execution, execution_of


@dataclass(frozen=True, slots=True)
class Lane:
    """A client and the node whose records tell of its orders; it makes every `every`th order."""

    client: Client
    node: str
    every: int = 1


@dataclass(frozen=True, slots=True)
class Timed:
    """An image with its node's record."""

    made: Made
    execution: Execution


def alone(
    lanes: Mapping[str, Lane],
    orders: Sequence[Order],
    *,
    warm_up: int,
    pause: Callable[[], None],
) -> dict[str, list[Timed]]:
    """Let the clients make the same orders in turn, each alone; the first ones do not count.

    `pause` is called between orders and may raise to end it all.
    """
    made: dict[str, list[Made]] = {name: [] for name in lanes}
    for number, order in enumerate(orders):
        for name, lane in lanes.items():
            if number >= warm_up and number % lane.every:
                continue
            pause()
            lane.client.send(order)
            image = lane.client.take()
            if number >= warm_up:
                made[name].append(image)
    return {
        name: [Timed(one, execution_of(lane.node, one.prompt_id)) for one in made[name]]
        for name, lane in lanes.items()
    }
