"""What is no order."""

from typing import Any

import pytest

from workers.workflows.order import Anchor, Model, Workflow
from workers.workflows.tests.orders import ANCHOR, order


@pytest.mark.parametrize(
    "wrong",
    [
        {"sketch": ""},
        {"denoise": -0.1},
        {"denoise": 1.1},
        {"denoise": float("nan")},
        {"steps": 0},
        {"steps": 5000},
        {"seed": -1},
        {"seed": 2**64},
        {"width": 500},
        {"width": 0},
        {"height": 16400},
        {"first": -1},
        {"count": 0},
        {"count": 5},
        {"first": 2, "count": 3},
        {"references": ("one.png",)},
        {"references": ("1", "2", "3", "4"), "workflow": Workflow.FOLLOW},
        {"references": ("",), "workflow": Workflow.FOLLOW},
        {"anchor": ANCHOR, "workflow": Workflow.HD},
        {"anchor": ANCHOR, "workflow": Workflow.UPSCALE},
        {"count": 2, "workflow": Workflow.UPSCALE},
    ],
    ids=str,
)
def test_values_that_cannot_be_made_are_no_order(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"{next(iter(wrong))}.*\.$"):
        order(**wrong)


@pytest.mark.parametrize(("image", "mask"), [("", "m.png"), ("i.png", "")])
def test_an_anchor_has_an_image_and_a_mask(image: str, mask: str) -> None:
    with pytest.raises(ValueError, match="anchor"):
        Anchor(image, mask)


def test_each_model_has_its_own_number_of_steps() -> None:
    assert {model: model.steps_default for model in Model} == {
        Model.DISTILLED: 4,
        Model.BASE: 20,
    }
