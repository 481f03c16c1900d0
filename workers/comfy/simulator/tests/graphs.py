"""The graph of the recordings, and sketches to feed it."""

import io
from typing import Any

from PIL import Image, ImageDraw


def klein_graph(
    *,
    prompt: str = "a lighthouse",
    seed: int = 1,
    steps: int = 4,
    denoise: float = 0.75,
    image: str = "llamasketch/sketch.png",
    prefix: str = "llamasketch",
    side: int = 512,
) -> dict[str, Any]:
    """Build the recorded graph; its node ids and their order are those of the recordings."""

    def node(class_type: str, **inputs: Any) -> dict[str, Any]:
        return {"class_type": class_type, "inputs": inputs}

    return {
        "1": node("LoadImage", image=image),
        "16": node(
            "ImageScale",
            image=["1", 0],
            upscale_method="lanczos",
            width=side,
            height=side,
            crop="disabled",
        ),
        "2": node("VAELoader", vae_name="flux2-vae.safetensors"),
        "3": node("VAEEncode", pixels=["16", 0], vae=["2", 0]),
        "4": node("UNETLoader", unet_name="flux-2-klein-4b.safetensors", weight_dtype="default"),
        "5": node("CLIPLoader", clip_name="qwen_3_4b.safetensors", type="flux2"),
        "6": node("CLIPTextEncode", text=prompt, clip=["5", 0]),
        "7": node("ConditioningZeroOut", conditioning=["6", 0]),
        "8": node("RandomNoise", noise_seed=seed),
        "9": node("KSamplerSelect", sampler_name="euler"),
        "10": node("Flux2Scheduler", steps=steps, width=side, height=side),
        "15": node("SplitSigmasDenoise", sigmas=["10", 0], denoise=denoise),
        "11": node("CFGGuider", model=["4", 0], positive=["6", 0], negative=["7", 0], cfg=1.0),
        "12": node(
            "SamplerCustomAdvanced",
            noise=["8", 0],
            guider=["11", 0],
            sampler=["9", 0],
            sigmas=["15", 1],
            latent_image=["3", 0],
        ),
        "13": node("VAEDecode", samples=["12", 0], vae=["2", 0]),
        "14": node("SaveImage", images=["13", 0], filename_prefix=prefix),
    }


def outline(colour: object = "black", *, side: int = 512, width: int = 10) -> Image.Image:
    """Draw a circle on white paper."""
    image = Image.new("RGB", (side, side), "white")
    box = (side * 0.23, side * 0.23, side * 0.78, side * 0.78)
    ImageDraw.Draw(image).ellipse(box, outline=colour, width=width)  # type: ignore[arg-type]
    return image


def png(image: Image.Image) -> bytes:
    """Encode as PNG."""
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()
