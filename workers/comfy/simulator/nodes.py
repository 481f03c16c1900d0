"""What each node class does here."""

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from PIL import Image, ImageFilter, ImageOps
from PIL.PngImagePlugin import PngInfo

from workers.comfy.simulator.bench import Bench
from workers.comfy.simulator.cache import CachedResult
from workers.comfy.simulator.catalogue import NodeClass
from workers.comfy.simulator.faults import FaultKind
from workers.comfy.simulator.masking import composited, grown, held
from workers.comfy.simulator.painter import Brief, paint
from workers.comfy.simulator.previews import preview_jpeg
from workers.comfy.simulator.values import (
    Conditioning,
    Guider,
    Images,
    Latent,
    Mask,
    Noise,
    Pixels,
    Plane,
    Sigmas,
    Token,
)

Inputs: TypeAlias = Mapping[str, Any]
NodeFunction: TypeAlias = Callable[[Bench, Inputs], CachedResult]


def run_node(node_class: NodeClass, bench: Bench, inputs: Inputs) -> CachedResult:
    """Run a node with the values of its inputs.

    A class without a function of its own hands through what it was given: for each output the
    first input of that type, a token where there is none.
    """
    function = _FUNCTIONS.get(node_class.name) or node_class.function
    return function(bench, inputs) if function else _hand_through(node_class, inputs)


def _hand_through(node_class: NodeClass, inputs: Inputs) -> CachedResult:
    by_type = {
        item.type: inputs[item.name]
        for item in reversed(node_class.inputs)
        if isinstance(item.type, str) and item.name in inputs
    }
    name = next((value for value in inputs.values() if isinstance(value, str)), "")
    return CachedResult(
        tuple(by_type.get(output, Token(output, name)) for output in node_class.outputs)
    )


def _load_image(bench: Bench, inputs: Inputs) -> CachedResult:
    reference = str(inputs["image"])
    path = bench.folders.input_path(reference) or bench.folders.folder("input") / reference
    with Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened)
        # Like ComfyUI: alpha is dropped, and what is hidden under it shows. The mask is where the
        # picture is transparent; of an opaque one it is empty, and of another size.
        pixels: Pixels = np.asarray(image.convert("RGB"), dtype=np.uint8)
        mask = Mask(np.zeros((64, 64), np.float32))
        if "A" in image.getbands() or "transparency" in image.info:
            mask = Mask(1.0 - _channel(image, "alpha"))
    return CachedResult(((pixels,), mask))


def _load_image_mask(bench: Bench, inputs: Inputs) -> CachedResult:
    reference, channel = str(inputs["image"]), str(inputs["channel"])
    path = bench.folders.input_path(reference) or bench.folders.folder("input") / reference
    with Image.open(path) as opened:
        values = _channel(ImageOps.exif_transpose(opened), channel)
    return CachedResult((Mask(1.0 - values if channel == "alpha" else values),))


def _channel(image: Image.Image, name: str) -> Plane:
    """Return one channel ("red" … "alpha") as numbers from 0 to 1."""
    channel = image.convert("RGBA").getchannel(name[0].upper())
    return np.asarray(channel, dtype=np.float32) / np.float32(255.0)


def _image_to_mask(_bench: Bench, inputs: Inputs) -> CachedResult:
    images: Images = inputs["image"]
    channel = ("red", "green", "blue", "alpha").index(str(inputs["channel"]))
    return CachedResult((Mask(images[0][..., channel].astype(np.float32) / np.float32(255.0)),))


def _grow_mask(_bench: Bench, inputs: Inputs) -> CachedResult:
    mask: Mask = inputs["mask"]
    corners = bool(inputs["tapered_corners"])
    values = grown(mask.values, int(inputs["expand"]), has_tapered_corners=corners)
    return CachedResult((Mask(values),))


def _composite(_bench: Bench, inputs: Inputs) -> CachedResult:
    destination: Images = inputs["destination"]
    source: Images = inputs["source"]
    if inputs["resize_source"]:
        size = (destination[0].shape[1], destination[0].shape[0])
        source = tuple(_resized(pixels, size, Image.Resampling.BILINEAR) for pixels in source)
    x, y = int(inputs["x"]), int(inputs["y"])
    laid = (
        composited(pixels, source[place % len(source)], inputs.get("mask"), x=x, y=y)
        for place, pixels in enumerate(destination)
    )
    return CachedResult((tuple(laid),))


def _noise_mask(_bench: Bench, inputs: Inputs) -> CachedResult:
    return CachedResult((replace(inputs["samples"], noise_mask=inputs["mask"]),))


def _upscale(_bench: Bench, inputs: Inputs) -> CachedResult:
    # Models say by how much they enlarge in their names; this one draws nothing, it sharpens.
    named = re.search(r"(\d)x|x(\d)", inputs["upscale_model"].name, re.IGNORECASE)
    factor = int(named[1] or named[2]) if named else 4
    enlarged = []
    for pixels in inputs["image"]:
        size = (pixels.shape[1] * factor, pixels.shape[0] * factor)
        image = Image.fromarray(_resized(pixels, size, Image.Resampling.BICUBIC))
        enlarged.append(np.asarray(image.filter(ImageFilter.SHARPEN), dtype=np.uint8))
    return CachedResult((tuple(enlarged),))


def _resized(pixels: Pixels, size: tuple[int, int], method: Image.Resampling) -> Pixels:
    return np.asarray(Image.fromarray(pixels).resize(size, method), dtype=np.uint8)


_METHODS = {
    "nearest-exact": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def _scaled(images: Images, width: int, height: int, inputs: Inputs) -> CachedResult:
    method = _METHODS[str(inputs["upscale_method"])]
    scaled = []
    for pixels in images:
        image = Image.fromarray(pixels)
        if inputs.get("crop") == "center":
            image = ImageOps.fit(image, (width, height), method)
        elif image.size != (width, height):
            image = image.resize((width, height), method)
        scaled.append(np.asarray(image, dtype=np.uint8))
    return CachedResult((tuple(scaled),))


def _image_scale(_bench: Bench, inputs: Inputs) -> CachedResult:
    images: Images = inputs["image"]
    height, width = images[0].shape[:2]
    target_width, target_height = int(inputs["width"]), int(inputs["height"])
    if target_width == 0 and target_height == 0:
        return CachedResult((images,))
    target_width = target_width or max(1, round(width * target_height / height))
    target_height = target_height or max(1, round(height * target_width / width))
    return _scaled(images, target_width, target_height, inputs)


def _image_scale_by(_bench: Bench, inputs: Inputs) -> CachedResult:
    images: Images = inputs["image"]
    height, width = images[0].shape[:2]
    factor = float(inputs["scale_by"])
    return _scaled(images, max(1, round(width * factor)), max(1, round(height * factor)), inputs)


def _image_scale_to_total(_bench: Bench, inputs: Inputs) -> CachedResult:
    images: Images = inputs["image"]
    height, width = images[0].shape[:2]
    factor = (float(inputs["megapixels"]) * 1024 * 1024 / (width * height)) ** 0.5
    step = int(inputs.get("resolution_steps", 1))
    sides = [max(step, round(side * factor / step) * step) for side in (width, height)]
    return _scaled(images, sides[0], sides[1], inputs)


def _image_invert(_bench: Bench, inputs: Inputs) -> CachedResult:
    return CachedResult((tuple(255 - pixels for pixels in inputs["image"]),))


def _encode(_bench: Bench, inputs: Inputs) -> CachedResult:
    images: Images = inputs["pixels"]
    # The VAE works on 16 × 16 blocks: what does not fill one is cut off, evenly on both sides.
    height, width = (side // 16 * 16 for side in images[0].shape[:2])
    top, left = (images[0].shape[0] - height) // 2, (images[0].shape[1] - width) // 2
    cut = tuple(pixels[top : top + height, left : left + width] for pixels in images)
    return CachedResult((Latent(width, height, len(cut), cut),))


def _empty_latent(_bench: Bench, inputs: Inputs) -> CachedResult:
    width, height = int(inputs["width"]) // 16 * 16, int(inputs["height"]) // 16 * 16
    return CachedResult((Latent(width, height, int(inputs["batch_size"])),))


def _repeat_latent(_bench: Bench, inputs: Inputs) -> CachedResult:
    samples: Latent = inputs["samples"]
    return CachedResult((samples.repeated(int(inputs["amount"])),))


def _latent_from_batch(_bench: Bench, inputs: Inputs) -> CachedResult:
    samples: Latent = inputs["samples"]
    return CachedResult((samples.part(int(inputs["batch_index"]), int(inputs["length"])),))


def _text(_bench: Bench, inputs: Inputs) -> CachedResult:
    return CachedResult((Conditioning(str(inputs["text"])),))


def _zero_out(_bench: Bench, inputs: Inputs) -> CachedResult:
    return CachedResult((replace(inputs["conditioning"], text=""),))


def _reference(_bench: Bench, inputs: Inputs) -> CachedResult:
    conditioning: Conditioning = inputs["conditioning"]
    latent: Latent | None = inputs.get("latent")
    if latent is None:
        return CachedResult((conditioning,))
    return CachedResult((replace(conditioning, references=(*conditioning.references, latent)),))


def _inpaint(_bench: Bench, inputs: Inputs) -> CachedResult:
    latent = _encode(_bench, inputs).outputs[0]
    return CachedResult((inputs["positive"], inputs["negative"], latent))


def _guider(_bench: Bench, inputs: Inputs) -> CachedResult:
    return CachedResult((Guider(inputs["positive"], inputs["negative"], float(inputs["cfg"])),))


def _noise(_bench: Bench, inputs: Inputs) -> CachedResult:
    return CachedResult((Noise(int(inputs["noise_seed"])),))


def _scheduler(_bench: Bench, inputs: Inputs) -> CachedResult:
    return CachedResult((Sigmas(int(inputs["steps"])),))


def _split_sigmas(_bench: Bench, inputs: Inputs) -> CachedResult:
    sigmas: Sigmas = inputs["sigmas"]
    return CachedResult(sigmas.split(float(inputs["denoise"])))


def _sample(bench: Bench, inputs: Inputs) -> CachedResult:
    sigmas: Sigmas = inputs["sigmas"]
    latent: Latent = inputs["latent_image"]
    if not bench.models.are_loaded:
        bench.wait(bench.options.load_s)
        bench.models.are_loaded = True
    slower = bench.fail_in_sampler()
    has_nan = bench.faults.strikes(FaultKind.NAN_IMAGE) is not None
    step_began_s = time.monotonic()  # painting is part of the first step
    pictures = _pictures(inputs, latent, sigmas)
    if has_nan:
        pictures = tuple(np.zeros_like(picture) for picture in pictures)
    shows_previews = bench.preview_method() != "none"
    seed = inputs["noise"].seed
    for step in range(1, sigmas.steps + 1):
        jpeg = None
        if shows_previews:
            jpeg = preview_jpeg(pictures[0], step, sigmas.steps, seed=seed, is_blank=has_nan)
        bench.wait_until(step_began_s + bench.options.step_s * slower)
        step_began_s = time.monotonic()
        bench.check_interrupt()
        bench.report(bench.node_id, step, sigmas.steps, jpeg)
        if step == 1:
            bench.fail_after_first_step()
    done = replace(latent, batch=len(pictures), pictures=pictures, has_nan=has_nan)
    return CachedResult((done, done))


def _pictures(inputs: Inputs, latent: Latent, sigmas: Sigmas) -> Images:
    guider: Guider = inputs["guider"]
    references = guider.positive.references
    sketches = references[0].pictures if references else latent.pictures
    if sigmas.steps == 0 and latent.pictures:
        return latent.pictures
    painted = []
    for place, index in enumerate(latent.noise_indices):
        brief = Brief(
            prompt=guider.positive.text,
            seed=_seed(inputs["noise"], index, guider),
            denoise=sigmas.denoise,
            steps=sigmas.steps,
            width_px=latent.width,
            height_px=latent.height,
        )
        picture = paint(sketches[place % len(sketches)] if sketches else None, brief)
        if latent.noise_mask is not None and latent.pictures:
            picture = held(picture, latent.pictures[place], latent.noise_mask)
        painted.append(picture)
    return tuple(painted)


def _seed(noise: Noise, index: int, guider: Guider) -> int:
    """Mix what the painter cannot see into its seed: each makes another picture.

    These are which of the seed's noises it is, the references after the first, and what is
    negative. Where there is none of them it is the seed itself.
    """
    more = [picture for latent in guider.positive.references[1:] for picture in latent.pictures]
    negative = guider.negative.text if guider.cfg > 1.0 else ""
    if not index and not more and not negative:
        return noise.seed
    digest = hashlib.sha256(f"{noise.seed}/{index}/{negative}".encode())
    for picture in more:
        digest.update(picture.tobytes())
    return int.from_bytes(digest.digest()[:8], "big")


def _decode(bench: Bench, inputs: Inputs) -> CachedResult:
    latent: Latent = inputs["samples"]
    pictures = latent.pictures or (np.zeros((latent.height, latent.width, 3), np.uint8),)
    if bench.faults.strikes(FaultKind.BLACK_IMAGE):
        pictures = tuple(np.zeros_like(picture) for picture in pictures)
    return CachedResult((pictures,))


def _save_to(bench: Bench, images: Images, prefix: str, folder_type: str) -> CachedResult:
    target = bench.folders.save_target(prefix, folder_type)
    metadata = PngInfo()
    metadata.add_text("prompt", json.dumps(bench.graph))
    for name, value in (bench.extra_data.get("extra_pnginfo") or {}).items():
        metadata.add_text(name, json.dumps(value))
    files = []
    for index, pixels in enumerate(images):
        bench.wait(bench.options.encode_s)
        name = target.name(index)
        path = target.directory / name
        Image.fromarray(pixels).save(path, "PNG", pnginfo=metadata, compress_level=4)
        files.append({"filename": name, "subfolder": target.subfolder, "type": folder_type})
    return CachedResult((images,), {"images": files})


def _save(bench: Bench, inputs: Inputs) -> CachedResult:
    return _save_to(bench, inputs["images"], str(inputs["filename_prefix"]), "output")


def _preview(bench: Bench, inputs: Inputs) -> CachedResult:
    return _save_to(bench, inputs["images"], "ComfyUI_temp", "temp")


_FUNCTIONS: dict[str, NodeFunction] = {
    "LoadImage": _load_image,
    "LoadImageMask": _load_image_mask,
    "ImageToMask": _image_to_mask,
    "GrowMask": _grow_mask,
    "ImageCompositeMasked": _composite,
    "SetLatentNoiseMask": _noise_mask,
    "ImageUpscaleWithModel": _upscale,
    "ImageScale": _image_scale,
    "ImageScaleBy": _image_scale_by,
    "ImageScaleToTotalPixels": _image_scale_to_total,
    "ImageInvert": _image_invert,
    "VAEEncode": _encode,
    "VAEEncodeForInpaint": _encode,
    "EmptyFlux2LatentImage": _empty_latent,
    "RepeatLatentBatch": _repeat_latent,
    "LatentFromBatch": _latent_from_batch,
    "CLIPTextEncode": _text,
    "ConditioningZeroOut": _zero_out,
    "ReferenceLatent": _reference,
    "InpaintModelConditioning": _inpaint,
    "CFGGuider": _guider,
    "RandomNoise": _noise,
    "Flux2Scheduler": _scheduler,
    "SplitSigmasDenoise": _split_sigmas,
    "SamplerCustomAdvanced": _sample,
    "VAEDecode": _decode,
    "VAEDecodeTiled": _decode,
    "SaveImage": _save,
    "PreviewImage": _preview,
}
