"""Which Python the entry points take. A folder of the test's stands for the distribution's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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


def found(tmp_path: Path) -> subprocess.CompletedProcess[str]:
    script = TEXT.replace("/usr/bin/python3", str(tmp_path / "usr" / "python3"))
    assert script != TEXT
    return subprocess.run(
        ["/bin/bash", "-c", f'set -euo pipefail\n{script}\nprintf %s "$python"'],
        env={"PATH": str(tmp_path / "own")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_distributions_python_comes_before_ones_own(tmp_path: Path) -> None:
    python(tmp_path / "own" / "python3", GOOD)
    distribution = python(tmp_path / "usr" / "python3", GOOD)

    assert found(tmp_path).stdout == str(distribution)


def test_one_that_makes_no_environments_comes_after_ones_own(tmp_path: Path) -> None:
    own = python(tmp_path / "own" / "python3", GOOD)
    python(tmp_path / "usr" / "python3", WITHOUT_VENV)

    assert found(tmp_path).stdout == str(own)


def test_one_that_is_too_old_or_broken_is_passed_over(tmp_path: Path) -> None:
    python(tmp_path / "usr" / "python3", BROKEN)
    python(tmp_path / "own" / "python3", BROKEN)
    own = python(tmp_path / "own" / "python3.11", GOOD)

    assert found(tmp_path).stdout == str(own)


def test_without_any_one_sentence_says_what_is_missing(tmp_path: Path) -> None:
    done = found(tmp_path)

    assert done.returncode == 1
    assert "Python 3.11 or newer" in done.stderr
