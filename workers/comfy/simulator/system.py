"""What the server says about itself: /system_stats and /features."""

import os
import platform
import sys
from typing import Any

from workers.comfy.simulator.options import ServerVersion

DEVICE_NAME = "simulated, no GPU"


def features(version: ServerVersion) -> dict[str, Any]:
    """Return the feature flags, as recorded from 0.29; of 0.8 only those of its time."""
    flags: dict[str, Any] = {
        "supports_preview_metadata": True,
        "max_upload_size": 104857600,
        "extension": {"manager": {"supports_v4": True}},
    }
    if version is ServerVersion.V0_8:
        return flags
    return flags | {
        "supports_model_type_tags": True,
        "node_replacements": True,
        "assets": False,
    }


def system_stats(version: ServerVersion, argv: list[str]) -> dict[str, Any]:
    """Return versions and memory; the machine's own memory stands in for VRAM."""
    page = os.sysconf("SC_PAGE_SIZE")
    total = page * os.sysconf("SC_PHYS_PAGES")
    free = page * os.sysconf("SC_AVPHYS_PAGES")
    return {
        "system": {
            "os": sys.platform,
            "ram_total": total,
            "ram_free": free,
            "comfyui_version": version.full,
            "required_frontend_version": "1.47.10",
            "installed_templates_version": None,
            "required_templates_version": "0.11.19",
            "comfy_package_versions": [
                {"name": "comfyui-frontend-package", "installed": None, "required": "1.47.10"}
            ],
            "python_version": f"{platform.python_version()} ({platform.python_compiler()})",
            "pytorch_version": "none (simulated)",
            "embedded_python": False,
            "deploy_environment": "simulator",
            "argv": argv,
        },
        "devices": [
            {
                "name": DEVICE_NAME,
                "type": "cpu",
                "index": None,
                "vram_total": total,
                "vram_free": free,
                "torch_vram_total": total,
                "torch_vram_free": free,
            }
        ],
    }
