"""The clients without the platform, against a simulated node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from scripts.measure.alone import Lane, alone
from scripts.measure.bare import FOLDER, BareClient
from scripts.measure.crowd import crowd
from scripts.measure.figures import foreign_count, makespan_ratio, overhead_ms
from scripts.measure.gpu import images_per_second
from scripts.measure.naive import NaiveClient
from scripts.measure.orders import NotMade, orders_of
from scripts.measure.records import execution_of, has_pack
from workers.comfy.simulator.options import Options
from workers.comfy.simulator.threaded import ThreadedSimulator

WHEEL = 6


@pytest.fixture
def node(tmp_path: Path) -> Iterator[str]:
    """A node without delay."""
    with ThreadedSimulator(Options(tmp_path, step_s=0.0)) as simulator:
        yield simulator.url


def test_the_bare_client_gets_the_image_of_its_own_sketch_and_the_node_has_the_record(
    node: str,
) -> None:
    orders = orders_of(4, wheel=WHEEL, denoise=0.5, steps=6)
    client = BareClient(node)

    found = alone({"bare": Lane(client, node)}, orders, warm_up=1, pause=lambda: None)["bare"]
    client.close()

    assert [one.made.order.number for one in found] == [1, 2, 3]
    assert foreign_count([one.made for one in found], wheel=WHEEL) == 0
    for one in found:
        assert one.execution.seconds > 0
        assert overhead_ms(one.made, one.execution) > 0


def test_a_crowd_of_bare_clients_gets_every_order_once(node: str) -> None:
    orders = orders_of(7, wheel=WHEEL, denoise=0.5, steps=6)
    clients = [BareClient(node) for _ in range(3)]

    made = crowd(clients, orders)
    for client in clients:
        client.close()

    assert sorted(one.order.seed for one in made) == [order.seed for order in orders]
    assert foreign_count(made, wheel=WHEEL) == 0
    assert makespan_ratio(made, [execution_of(node, one.prompt_id) for one in made]) > 1


def test_naive_clients_share_one_file_for_all_sketches(node: str, tmp_path: Path) -> None:
    first, second = orders_of(2, wheel=2, denoise=0.5, steps=6)
    one, other = NaiveClient(node), NaiveClient(node)

    one.send(first)
    made = one.take()
    other.send(second)
    again = other.take()
    one.close()
    other.close()

    assert foreign_count([made, again], wheel=2) == 0
    (file,) = (tmp_path / "input" / FOLDER).iterdir()
    assert file.read_bytes() == second.sketch


def test_what_a_node_does_not_know_was_not_made(node: str) -> None:
    with pytest.raises(NotMade, match="no record"):
        execution_of(node, uuid4())


def test_a_node_without_the_pack_is_known(node: str) -> None:
    assert not has_pack(node)


def test_all_images_of_a_prompt_count(node: str) -> None:
    assert images_per_second(node, side_px=512, batch=2, prompts=2) > 0
