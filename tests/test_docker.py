"""What the image and the composition say that no test of the code can see."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from scripts.launcher.places import ROOT


def composition() -> dict[str, Any]:
    """The services, with what they share."""
    read: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return read


def test_the_web_server_itself_believes_no_proxy() -> None:
    (command,) = re.findall(r"^CMD (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)

    assert "daphne" in command
    # Daphne would take whatever address a caller claims: see llamasketch/proxies.py.
    assert "--proxy-headers" not in " ".join(json.loads(command))


def test_the_proxy_in_front_is_trusted_and_nobody_else_can_reach_the_server() -> None:
    web = composition()["services"]["web"]
    (command,) = re.findall(r"^CMD (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)

    assert web["environment"]["PENCIL_TRUSTED_PROXIES"] == "${PENCIL_TRUSTED_PROXIES:-127.0.0.1}"
    assert "-b 127.0.0.1" in " ".join(json.loads(command))
