"""Prefixes: where they lead, and where they may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.comfyui.llamasketch_nodes.targets import BadPrefix, target_of

ROOT = Path("/output")


def test_a_prefix_is_a_folder_and_the_beginning_of_a_name() -> None:
    target = target_of("llamasketch/0a0b/image", root=ROOT)

    assert target.directory == ROOT / "llamasketch" / "0a0b"
    assert target.subfolder == "llamasketch/0a0b"
    assert target.name(1, "webp") == "image_00001_.webp"


def test_a_prefix_without_a_folder_lies_in_the_output_folder_itself() -> None:
    target = target_of("image", root=ROOT)

    assert target.directory == ROOT
    assert target.subfolder == ""


@pytest.mark.parametrize(
    "prefix",
    [
        "../image",
        "llamasketch/../../image",
        "llamasketch/..",
        "/etc/image",
        "..\\image",
        "C:/image",
        "llamasketch/\0/image",
        "llamasketch/",
        "",
        ".",
    ],
)
def test_a_prefix_that_leads_out_or_names_nothing_is_refused(prefix: str) -> None:
    with pytest.raises(BadPrefix, match=r"^LlamaSketch: "):
        target_of(prefix, root=ROOT)


def test_numbers_of_other_prefixes_do_not_count() -> None:
    target = target_of("a/image", root=ROOT)

    names = ["image_00003_.png", "image_00012_.webp", "other_00099_.png", "image_x_.png"]
    assert target.highest_in(names) == 12
    assert target.highest_in([]) == 0
