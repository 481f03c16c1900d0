"""The optional file .env: KEY=VALUE lines that stand in for the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from scripts.launcher.refusal import Refusal

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")


def with_dotenv(variables: Mapping[str, str], path: Path) -> dict[str, str]:
    """Add the file's values to those that are set already; what is set wins.

    Raises:
        Refusal: a line is no KEY=VALUE, or the file cannot be read.
    """
    if not path.is_file():
        return dict(variables)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(f"{path} cannot be read ({error}).") from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        match = _LINE.fullmatch(text)
        if match is None:
            raise Refusal(f"Line {number} of {path} is not KEY=VALUE.")
        found[match[1]] = _unquoted(match[2])
    return {**found, **variables}


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value.split(" #", 1)[0].strip()
