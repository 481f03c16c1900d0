"""A real node: images a second, by size and by how many one prompt makes."""

from __future__ import annotations

from dataclasses import replace

from scripts.measure.bare import BareClient, Graph
from scripts.measure.figures import makespan_s
from scripts.measure.orders import orders_of

_REPEAT = "batch"


def repeat(graph: Graph, count: int) -> None:
    """Let a graph make several images at once from its sketch.

    Every sampler takes the encoded sketch as often as asked; where nothing is encoded the graph
    stays as it is.
    """
    if count == 1:
        return
    for node in list(graph.values()):
        latent = node["inputs"].get("latent_image")
        if latent is not None and latent[0] != _REPEAT:
            graph[_REPEAT] = {
                "class_type": "RepeatLatentBatch",
                "inputs": {"samples": latent, "amount": count},
            }
            node["inputs"]["latent_image"] = [_REPEAT, 0]


def images_per_second(url: str, *, side_px: int, batch: int, prompts: int) -> float:
    """Send prompts all at once, after two that warm the node up, and wait for the last.

    Of each prompt one image is fetched; all are made and encoded.
    """
    orders = [replace(order, side_px=side_px) for order in orders_of(prompts + 2, wheel=30)]
    client = BareClient(url, change=lambda graph: repeat(graph, batch))
    try:
        for order in orders[:2]:
            client.send(order)
            client.take()
        for order in orders[2:]:
            client.send(order)
        made = [client.take() for _ in range(prompts)]
    finally:
        client.close()
    return prompts * batch / makespan_s(made)
