"""Orders differ, so that no node makes one image out of another's."""

from __future__ import annotations

from scripts.measure.crowd import dealt
from scripts.measure.orders import orders_of


def test_no_two_orders_have_the_same_sketch_and_none_the_same_seed() -> None:
    orders = orders_of(120, wheel=30)

    assert len({order.sketch for order in orders}) == 120
    assert len({order.seed for order in orders}) == 120


def test_orders_go_around_the_colour_wheel() -> None:
    assert [order.number for order in orders_of(7, wheel=3)] == [0, 1, 2, 0, 1, 2, 0]


def test_every_order_is_dealt_to_one_client() -> None:
    orders = orders_of(30, wheel=30)

    hands = dealt(orders, 8)

    assert [len(hand) for hand in hands] == [4, 4, 4, 4, 4, 4, 3, 3]
    assert sorted(order.seed for hand in hands for order in hand) == [o.seed for o in orders]
