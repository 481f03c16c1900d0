"""The graphs that are kept as files for hands are those that are built."""

import json
from pathlib import Path

from workers.workflows.__main__ import examples, main

KEPT = Path(__file__).parents[3] / "deploy" / "comfyui" / "workflows"


def test_the_kept_files_are_what_is_built() -> None:
    kept = {path.name: json.loads(path.read_text()) for path in KEPT.glob("*.json")}

    assert kept == examples(), "run python -m workers.workflows deploy/comfyui/workflows"


def test_they_are_written_where_it_is_said(tmp_path: Path) -> None:
    assert main([str(tmp_path)]) == 0

    assert {path.name for path in tmp_path.iterdir()} == set(examples())
    assert main([]) == 2
