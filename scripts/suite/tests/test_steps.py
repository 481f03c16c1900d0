from pathlib import Path

from scripts.launcher.places import ROOT
from scripts.suite.steps import shell_scripts, static_checks


def test_every_shell_script_is_checked() -> None:
    names = {str(path.relative_to(ROOT)) for path in shell_scripts(ROOT)}

    assert {".ci/run", "scripts/test", "scripts/find-python.sh", "scripts/comfyui_args.sh"} <= names
    assert not [name for name in names if name.endswith(".py")]
    [step] = [step for step in static_checks() if step.name == "shellcheck"]
    assert names <= set(step.command)


def test_a_script_is_known_by_its_first_line_or_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "deploy" / "deep"
    folder.mkdir(parents=True)
    for name, text in {
        "dash": "#!/bin/sh\n",
        "bash": "#!/usr/bin/env bash\n",
        "sourced.sh": "# sourced\n",
        "python": "#!/usr/bin/env python3\n",
        "fish": "#!/usr/bin/fish\n",
        "text": "bash\n",
    }.items():
        (folder / name).write_text(text)

    assert [path.name for path in shell_scripts(tmp_path)] == ["bash", "dash", "sourced.sh"]
