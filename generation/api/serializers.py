"""The shapes of requests and answers."""

from __future__ import annotations

import base64
import binascii
from functools import cache
from typing import Any
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from generation.images import SKETCH_BYTES_MAX
from generation.params import (
    ANCHORING,
    COUNT_MAX,
    COUNT_MIN,
    DENOISE_OF_MODE,
    ENLARGING,
    FOLLOWING,
    MODELS,
    MODES,
    PROMPT_CHARS_MAX,
    REFERENCES_MAX,
    SEED_MAX,
    SIDE_DEFAULT,
    STEPS_MAX,
    STEPS_MIN,
    STEPS_OF_MODEL,
    VARIATIONS_PER_SEED,
    JobParams,
    denoise_problem,
    side_problem,
)
from generation.presets import preset_list, preset_png
from generation.services import seed_draw
from generation.states import JobState, Lane
from generation.submissions import Anchor, OwnImage, Picture, Submission

PRESET_PREFIX = "preset:"
IMAGE_PREFIX = "image:"


@extend_schema_field(OpenApiTypes.STR)
class PictureField(serializers.Field[Picture, str, str, Any]):
    """A picture: base64, a data URL, a preset as `preset:<id>`, or an own image as `image:<id>`."""

    default_error_messages = {
        "not_text": "Give the image as base64 text, a data URL, preset:<id> or image:<id>.",
        "no_image": "Give image: and the id of one of your images.",
        "not_base64": "This is not base64. Send the bytes of a PNG, JPEG or WebP as base64.",
        "too_large": f"The image has more than {SKETCH_BYTES_MAX // 2**20} MB. Send a smaller one.",
        "no_preset": "There is no such preset. Give one of: {names}.",
        "blank": "The image is empty. Send a PNG, JPEG or WebP.",
    }

    def to_internal_value(self, data: str) -> Picture:
        """Decode to the image's bytes or id; what they hold is for the service to judge."""
        if not isinstance(data, str):
            self.fail("not_text")
        if data.startswith(IMAGE_PREFIX):
            try:
                return OwnImage(UUID(data.removeprefix(IMAGE_PREFIX)))
            except ValueError:
                self.fail("no_image")
        if data.startswith(PRESET_PREFIX):
            drawn = preset_png(data.removeprefix(PRESET_PREFIX))
            if drawn is None:
                names = ", ".join(PRESET_PREFIX + preset.id for preset in preset_list())
                self.fail("no_preset", names=names)
            return drawn
        text = data.partition(",")[2] if data.startswith("data:") else data
        if not text.strip():
            self.fail("blank")
        if len(text) > SKETCH_BYTES_MAX * 4 // 3 + 4:
            self.fail("too_large")
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            self.fail("not_base64")

    def to_representation(self, value: Picture) -> str:
        """Name an own image, encode anything else as base64."""
        if isinstance(value, OwnImage):
            return f"{IMAGE_PREFIX}{value.id}"
        return base64.b64encode(value).decode()


class WholeNumberField(serializers.IntegerField):
    """An integer that is written as one: neither text nor a truth value."""

    def to_internal_value(self, data: Any) -> int:
        """Take JSON integers alone."""
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return super().to_internal_value(data)


class NumberField(serializers.FloatField):
    """A number that is written as one: neither text nor a truth value."""

    def to_internal_value(self, data: Any) -> float:
        """Take JSON numbers alone."""
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        try:
            return float(data)
        except OverflowError:
            self.fail("invalid")


class TextField(serializers.CharField):
    """Text that is written as such: not a number."""

    def to_internal_value(self, data: Any) -> str:
        """Take JSON strings alone."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class StrictSerializer(serializers.Serializer[Any]):
    """A body in which a field that nobody reads is refused: a misspelt one would be ignored."""

    def to_internal_value(self, data: Any) -> Any:
        """Name the fields that are not ours."""
        if isinstance(data, dict):
            unknown = {
                str(name): ["There is no such field."] for name in data if name not in self.fields
            }
            if unknown:
                raise serializers.ValidationError(unknown)
        return super().to_internal_value(data)


class AnchorSerializer(StrictSerializer):
    """What stays as it is: the white of the mask, of the image."""

    image = PictureField()
    mask = PictureField()


class GenerateSerializer(StrictSerializer):
    """The body of `POST /api/generate`."""

    sketch = PictureField(help_text="For hd and upscale: the finished image.")
    prompt = TextField(
        allow_blank=True, default="", max_length=PROMPT_CHARS_MAX, trim_whitespace=True
    )
    negative_prompt = TextField(
        allow_blank=True,
        default="",
        max_length=PROMPT_CHARS_MAX,
        trim_whitespace=True,
        help_text="What the image should not show; the base model alone listens to it.",
    )
    mode = serializers.ChoiceField(choices=MODES, default=MODES[0])
    model = serializers.ChoiceField(choices=MODELS, default=MODELS[0])
    denoise = NumberField(
        required=False, help_text="0 keeps the sketch, 1 ignores it. Default: the mode's."
    )
    steps = WholeNumberField(
        required=False,
        min_value=STEPS_MIN,
        max_value=STEPS_MAX,
        help_text="Default: the model's, 4 or 20.",
    )
    seed = WholeNumberField(required=False, allow_null=True, min_value=0, max_value=SEED_MAX)
    variation = WholeNumberField(
        default=0,
        min_value=0,
        max_value=VARIATIONS_PER_SEED - 1,
        help_text="Which of the seed's images; with a count, the first.",
    )
    width = WholeNumberField(
        required=False, help_text="Pixels, a multiple of 16. Not for hd and upscale."
    )
    height = WholeNumberField(
        required=False, help_text="Pixels, a multiple of 16. Not for hd and upscale."
    )
    count = WholeNumberField(default=1, min_value=COUNT_MIN, max_value=COUNT_MAX)
    references = serializers.ListField(
        child=PictureField(),
        default=list,
        max_length=REFERENCES_MAX,
        help_text="Further pictures to follow, beside the sketch.",
    )
    anchor = AnchorSerializer(
        required=False, allow_null=True, help_text="What stays as it is, to the pixel."
    )
    lane = serializers.ChoiceField(choices=[lane.name.lower() for lane in Lane], default="batch")

    def validate_denoise(self, value: float) -> float:
        """Take finite numbers from 0 to 1."""
        if problem := denoise_problem(value):
            raise serializers.ValidationError(problem)
        return value

    def validate_width(self, value: int) -> int:
        """Take the sides that the model can make."""
        if problem := side_problem(value):
            raise serializers.ValidationError(problem)
        return value

    def validate_height(self, value: int) -> int:
        """Take the sides that the model can make."""
        return self.validate_width(value)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Take no field that the mode or the model would ignore."""
        mode = attrs["mode"]
        problems: dict[str, list[str]] = {}
        if mode in ENLARGING:
            for side in {"width", "height"} & attrs.keys():
                problems[side] = [f"Leave it out: {mode} makes the image twice as large."]
            if attrs["count"] > 1:
                problems["count"] = [f"Leave it out: {mode} makes one image."]
        if mode == "upscale":
            given = {"denoise", "steps"} & attrs.keys()
            for name in sorted(given | ({"variation"} if attrs["variation"] else set())):
                problems[name] = ["Leave it out: upscale draws nothing new."]
            if attrs["model"] != MODELS[0]:
                problems["model"] = ["Leave it out: upscale draws nothing new."]
        if mode == "follow" and "denoise" in attrs:
            problems["denoise"] = ["Leave it out: follow always draws anew. Or use the mode paint."]
        if attrs["negative_prompt"] and (attrs["model"] != "base" or mode == "upscale"):
            problems["negative_prompt"] = ["Leave it out, or use the model base, which listens."]
        if attrs["references"] and mode not in FOLLOWING:
            problems["references"] = ["Leave them out, or use the mode follow."]
        if attrs.get("anchor") and mode not in ANCHORING:
            problems["anchor"] = ["Leave it out, or use the mode paint or follow."]
        if problems:
            raise serializers.ValidationError(problems)
        return attrs


@cache
def _generate_form() -> GenerateSerializer:
    """One for all requests: each would copy all the fields, and checking changes none of them."""
    return GenerateSerializer()


def submission_read(body: dict[str, Any]) -> Submission:
    """What the body of `POST /api/generate` asks for.

    Raises:
        ValidationError: it names the fields and what to do.
    """
    values = _generate_form().run_validation(body)
    seed, anchor = values.get("seed"), values.get("anchor")
    return Submission(
        sketch=values["sketch"],
        params=JobParams(
            prompt=values["prompt"],
            negative_prompt=values["negative_prompt"],
            mode=values["mode"],
            model=values["model"],
            denoise=values.get("denoise", DENOISE_OF_MODE[values["mode"]]),
            steps=values.get("steps", STEPS_OF_MODEL[values["model"]]),
            seed=seed_draw() if seed is None else seed,
            variation=values["variation"],
            width=values.get("width", SIDE_DEFAULT),
            height=values.get("height", SIDE_DEFAULT),
        ),
        count=values["count"],
        lane=Lane[values["lane"].upper()],
        references=tuple(values["references"]),
        anchor=Anchor(anchor["image"], anchor["mask"]) if anchor else None,
    )


class CancelSerializer(StrictSerializer):
    """Which jobs to cancel: exactly one of the fields. Nothing is cancelled by leaving one out."""

    all = serializers.BooleanField(required=False, help_text="All that are active.")
    batch_id = serializers.UUIDField(required=False)
    ids = serializers.ListField(child=serializers.UUIDField(), required=False, max_length=256)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Take one way of saying which."""
        if len(attrs) != 1 or attrs.get("all") is False:
            raise serializers.ValidationError(
                'Give {"all": true}, a "batch_id", or a list of "ids".'
            )
        return attrs


class ImageSerializer(serializers.Serializer[Any]):
    """An image's addresses and its size in pixels."""

    id = serializers.UUIDField()
    url = serializers.CharField()
    thumbnail_url = serializers.CharField()
    width = serializers.IntegerField()
    height = serializers.IntegerField()
    method = serializers.CharField(help_text="How it was enlarged: with a model, or lanczos.")


class ParamsSerializer(serializers.Serializer[Any]):
    """What was asked for."""

    prompt = serializers.CharField()
    negative_prompt = serializers.CharField()
    mode = serializers.ChoiceField(choices=MODES)
    model = serializers.ChoiceField(choices=MODELS)
    variation = serializers.IntegerField()
    references = serializers.IntegerField(help_text="How many, beside the sketch.")
    anchored = serializers.BooleanField()
    denoise = serializers.FloatField()
    steps = serializers.IntegerField()
    width = serializers.IntegerField()
    height = serializers.IntegerField()


class ProgressSerializer(serializers.Serializer[Any]):
    """Steps done, of how many."""

    step = serializers.IntegerField()
    steps = serializers.IntegerField()


class ErrorSerializer(serializers.Serializer[Any]):
    """What happened to a job that failed."""

    code = serializers.CharField()
    message = serializers.CharField()


class JobSerializer(serializers.Serializer[Any]):
    """A job as its owner sees it; see `generation.payloads.JobPayload`."""

    id = serializers.UUIDField()
    batch_id = serializers.UUIDField()
    state = serializers.ChoiceField(choices=[state.value for state in JobState])
    lane = serializers.ChoiceField(choices=[lane.name.lower() for lane in Lane])
    position = serializers.IntegerField(allow_null=True)
    eta_s = serializers.FloatField(allow_null=True)
    progress = ProgressSerializer(allow_null=True)
    preview_url = serializers.CharField(allow_null=True)
    seed = serializers.IntegerField()
    params = ParamsSerializer()
    sketch_url = serializers.CharField()
    images = ImageSerializer(many=True)
    error = ErrorSerializer(allow_null=True)
    charged = serializers.BooleanField()
    cancel_requested = serializers.BooleanField()
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)


class BatchSerializer(serializers.Serializer[Any]):
    """The answer to an accepted request."""

    batch_id = serializers.UUIDField()
    jobs = JobSerializer(many=True)


class JobPageSerializer(serializers.Serializer[Any]):
    """A page of jobs, newest first."""

    next = serializers.CharField(allow_null=True)
    jobs = JobSerializer(many=True)


class JobsSerializer(serializers.Serializer[Any]):
    """Jobs after a change."""

    jobs = JobSerializer(many=True)


class ApiErrorSerializer(serializers.Serializer[Any]):
    """Every refusal: a stable code, a sentence, and values for programs."""

    code = serializers.CharField()
    message = serializers.CharField()
    extra = serializers.DictField()
