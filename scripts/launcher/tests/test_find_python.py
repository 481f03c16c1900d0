"""Which Python the entry points take. A folder of the test's stands for the distribution's."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.launcher.places import ROOT

TEXT = (ROOT / "scripts" / "find-python.sh").read_text()
GOOD = f'#!/bin/sh\nexec {Path(sys.executable).resolve()} "$@"\n'
BROKEN = "#!/bin/sh\nexit 1\n"
# As Debian's is until its package python3-venv is there.
WITHOUT_VENV = '#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\n' + GOOD.partition("\n")[2]


def python(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def patched(tmp_path: Path) -> str:
    text = TEXT.replace("/usr/bin/python3", str(tmp_path / "usr" / "python3"))
    assert text != TEXT
    return text


def run(tmp_path: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/bash", *command],
        env={"PATH": str(tmp_path / "own")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def found(tmp_path: Path) -> str:
    script = f'set -euo pipefail\n{patched(tmp_path)}\nprintf %s "$python"'
    return run(tmp_path, "-c", script).stdout


def test_the_distributions_python_comes_before_ones_own(tmp_path: Path) -> None:
    python(tmp_path / "own" / "python3", GOOD)
    distribution = python(tmp_path / "usr" / "python3", GOOD)

    assert found(tmp_path) == str(distribution)


def test_one_that_makes_no_environments_comes_after_ones_own(tmp_path: Path) -> None:
    own = python(tmp_path / "own" / "python3", GOOD)
    python(tmp_path / "usr" / "python3", WITHOUT_VENV)

    assert found(tmp_path) == str(own)


def test_one_that_is_too_old_or_broken_is_passed_over(tmp_path: Path) -> None:
    python(tmp_path / "usr" / "python3", BROKEN)
    python(tmp_path / "own" / "python3", BROKEN)
    own = python(tmp_path / "own" / "python3.11", GOOD)

    assert found(tmp_path) == str(own)


@pytest.mark.parametrize("name", ["start", "test", "check", "bench", "chaos", "lock"])
def test_without_any_each_command_says_so_in_one_sentence(tmp_path: Path, name: str) -> None:
    python(tmp_path / "own" / "python3", BROKEN)
    dirname = shutil.which("dirname")
    assert dirname is not None
    (tmp_path / "own" / "dirname").symlink_to(dirname)
    (tmp_path / "find-python.sh").write_text(patched(tmp_path))
    command = shutil.copy(ROOT / "scripts" / name, tmp_path)

    done = run(tmp_path, str(command))

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "LlamaSketch needs Python 3.11 or newer, and none is on the PATH.\n"
