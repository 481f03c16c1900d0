"""The node classes, in the form that ComfyUI 0.8 and later load.

Tensors are only asked for what they can do themselves, so that torch is not imported here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .encoding import FORMATS, QUALITY_DEFAULT
from .latents import latent_check
from .saver import ImageSaver

image_saver = ImageSaver()


class LlamaSketchSaveImage:
    """Saves images while the GPU goes on; the names come at once, the files a moment later.

    It has no IS_CHANGED and needs none. ComfyUI takes a node's result again only for the same
    inputs, the prefix is one of them, and each prompt has its own. So what is taken again can
    only be the same prompt's, whose files these are. Under a prefix that prompts share, the names
    of an earlier prompt would come again, as they do from ComfyUI's own SaveImage.
    """

    CATEGORY = "LlamaSketch"
    DESCRIPTION = "Saves images in the background, without the workflow in them."
    RETURN_TYPES = ()
    FUNCTION = "save"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        """Describe the inputs. The workflow (hidden input PROMPT) is not asked for."""
        quality = {"default": QUALITY_DEFAULT, "min": 1, "max": 100}
        return {
            "required": {
                "images": ("IMAGE", {}),
                "filename_prefix": ("STRING", {"default": "llamasketch/image"}),
                "format": (list(FORMATS), {"default": FORMATS[0]}),
                "quality": ("INT", quality),
            }
        }

    def save(
        self,
        images: Any,
        filename_prefix: str,
        format: str,  # noqa: A002 - the input's name
        quality: int,
    ) -> dict[str, Any]:
        """Copy the images to the CPU, hand them to the saver, and name the files."""
        # As bytes before the transfer, which is then a quarter as long; fractions are cut off, as
        # SaveImage does.
        pixels = (images.float() * 255.0).clamp_(0, 255).byte().cpu().numpy()
        files = image_saver.save(
            list(pixels),
            root=_output_folder(),
            prefix=filename_prefix,
            image_format=format,
            quality=quality,
            look=_stop_if_interrupted,
        )
        return {
            "ui": {
                "images": [
                    {"filename": file.name, "subfolder": file.subfolder, "type": "output"}
                    for file in files
                ]
            }
        }


class LlamaSketchCheckLatent:
    """Hands a latent on, or stops the prompt where the decoder would make a black image of it."""

    CATEGORY = "LlamaSketch"
    DESCRIPTION = "Stops the prompt when a latent is not a number, or blank."
    RETURN_TYPES = ("LATENT",)
    RETURN_NAMES = ("samples",)
    FUNCTION = "check"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        """Describe the inputs."""
        return {"required": {"samples": ("LATENT", {})}}

    def check(self, samples: dict[str, Any]) -> tuple[dict[str, Any]]:
        """Look at the latent on the CPU.

        One small transfer, and the GPU has nothing to compute: a broken one once counted no NaN
        in a tensor full of them.

        Raises:
            BadLatent: there is no picture in it.
        """
        latent = samples["samples"]
        # Some video models have several tensors in one.
        parts = latent.unbind() if getattr(latent, "is_nested", False) else (latent,)
        for part in parts:
            latent_check(part.detach().cpu().float().numpy())
        return (samples,)


NODE_CLASS_MAPPINGS = {
    "LlamaSketchSaveImage": LlamaSketchSaveImage,
    "LlamaSketchCheckLatent": LlamaSketchCheckLatent,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "LlamaSketchSaveImage": "Save Image (LlamaSketch)",
    "LlamaSketchCheckLatent": "Check Latent (LlamaSketch)",
}


def _output_folder() -> Path:
    from folder_paths import get_output_directory

    return Path(get_output_directory())


def _stop_if_interrupted() -> None:
    from comfy.model_management import throw_exception_if_processing_interrupted

    throw_exception_if_processing_interrupted()
