"""The shapes of requests and answers."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from generation.images import SKETCH_BYTES_MAX
from generation.params import (
    COUNT_MAX,
    COUNT_MIN,
    DENOISE_DEFAULT,
    MODES,
    PROMPT_CHARS_MAX,
    SEED_MAX,
    SIDE_DEFAULT,
    STEPS_DEFAULT,
    STEPS_MAX,
    STEPS_MIN,
    JobParams,
    denoise_problem,
    side_problem,
)
from generation.presets import preset_list, preset_png
from generation.services import Submission, seed_draw
from generation.states import JobState, Lane

PRESET_PREFIX = "preset:"


@extend_schema_field(OpenApiTypes.STR)
class SketchField(serializers.Field[bytes, str, str, Any]):
    """An image as base64, as a data URL, or the name of a preset as `preset:<id>`."""

    default_error_messages = {
        "not_text": "Give the image as base64 text, a data URL, or preset:<id>.",
        "not_base64": "This is not base64. Send the bytes of a PNG, JPEG or WebP as base64.",
        "too_large": f"The image has more than {SKETCH_BYTES_MAX // 2**20} MB. Send a smaller one.",
        "no_preset": "There is no such preset. Give one of: {names}.",
        "blank": "The image is empty. Send a PNG, JPEG or WebP.",
    }

    def to_internal_value(self, data: str) -> bytes:
        """Decode to the image's bytes; what they hold is for the service to judge."""
        if not isinstance(data, str):
            self.fail("not_text")
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

    def to_representation(self, value: bytes) -> str:
        """Encode as base64."""
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


class GenerateSerializer(StrictSerializer):
    """The body of `POST /api/generate`."""

    sketch = SketchField()
    prompt = TextField(
        allow_blank=True, default="", max_length=PROMPT_CHARS_MAX, trim_whitespace=True
    )
    mode = serializers.ChoiceField(choices=MODES, default=MODES[0])
    denoise = NumberField(default=DENOISE_DEFAULT, help_text="0 keeps the sketch, 1 ignores it.")
    steps = WholeNumberField(default=STEPS_DEFAULT, min_value=STEPS_MIN, max_value=STEPS_MAX)
    seed = WholeNumberField(required=False, allow_null=True, min_value=0, max_value=SEED_MAX)
    width = WholeNumberField(default=SIDE_DEFAULT, help_text="Pixels, a multiple of 16.")
    height = WholeNumberField(default=SIDE_DEFAULT, help_text="Pixels, a multiple of 16.")
    count = WholeNumberField(default=1, min_value=COUNT_MIN, max_value=COUNT_MAX)
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

    def submission(self) -> Submission:
        """The checked request. Call after `is_valid`."""
        values = self.validated_data
        seed = values.get("seed")
        return Submission(
            sketch=values["sketch"],
            params=JobParams(
                prompt=values["prompt"],
                mode=values["mode"],
                denoise=values["denoise"],
                steps=values["steps"],
                seed=seed_draw() if seed is None else seed,
                width=values["width"],
                height=values["height"],
            ),
            count=values["count"],
            lane=Lane[values["lane"].upper()],
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


class ParamsSerializer(serializers.Serializer[Any]):
    """What was asked for."""

    prompt = serializers.CharField()
    mode = serializers.ChoiceField(choices=MODES)
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
