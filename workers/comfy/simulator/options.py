"""How the simulator was asked to behave, fixed for the life of the process."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class ServerVersion(StrEnum):
    """The ComfyUI that is spoken."""

    V0_29 = "0.29"
    V0_8 = "0.8"

    @property
    def full(self) -> str:
        """The version as /system_stats gives it."""
        return f"{self.value}.0"


class PreviewMethod(StrEnum):
    """Values of `extra_data.preview_method` that the simulator knows."""

    NONE = "none"
    AUTO = "auto"
    LATENT2RGB = "latent2rgb"
    TAESD = "taesd"


@dataclass(frozen=True, slots=True)
class Options:
    """Paths, durations, and whether the node pack is installed.

    Durations are in seconds; none of them is a GPU's.
    """

    data_dir: Path
    version: ServerVersion = ServerVersion.V0_29
    preview: PreviewMethod = PreviewMethod.LATENT2RGB
    step_s: float = 0.2
    load_s: float = 0.0
    encode_s: float = 0.0
    has_pack: bool = False
