"""A crowd: several clients who all send their orders at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from scripts.measure.orders import Client, Made, Order


def dealt(orders: Sequence[Order], clients: int) -> list[list[Order]]:
    """Deal the orders out, one to each client in turn."""
    return [list(orders[number::clients]) for number in range(clients)]


def crowd(clients: Sequence[Client], orders: Sequence[Order]) -> list[Made]:
    """Have every client send all of its orders at once; return when all images are fetched."""
    barrier = threading.Barrier(len(clients), timeout=30)

    def work(client: Client, own: Sequence[Order]) -> list[Made]:
        barrier.wait()
        for order in own:
            client.send(order)
        return [client.take() for _ in own]

    with ThreadPoolExecutor(len(clients)) as pool:
        done = pool.map(work, clients, dealt(orders, len(clients)))
        return [made for own in done for made in own]
