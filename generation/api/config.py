"""What a client may know before anybody signs in."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from generation.images import SKETCH_BYTES_MAX, SKETCH_PIXELS_MAX
from generation.nodes import workflows_offered
from generation.params import (
    COUNT_MAX,
    COUNT_MIN,
    DENOISE_OF_MODE,
    MODELS,
    MODES,
    PROMPT_CHARS_MAX,
    SIDE_DEFAULT,
    SIZES,
    STEPS_MAX,
    STEPS_MIN,
    STEPS_OF_MODEL,
)
from generation.presets import preset_list


class _SizeSerializer(serializers.Serializer[Any]):
    aspect = serializers.CharField()
    width = serializers.IntegerField()
    height = serializers.IntegerField()


class _RangeSerializer(serializers.Serializer[Any]):
    min = serializers.IntegerField()
    max = serializers.IntegerField()


class _LimitsSerializer(serializers.Serializer[Any]):
    prompt_chars = serializers.IntegerField()
    sketch_bytes = serializers.IntegerField()
    sketch_pixels = serializers.IntegerField()
    count = _RangeSerializer()
    steps = _RangeSerializer()
    daily = serializers.IntegerField(allow_null=True)


class _DefaultsSerializer(serializers.Serializer[Any]):
    mode = serializers.CharField()
    denoise = serializers.FloatField()
    steps = serializers.IntegerField()
    width = serializers.IntegerField()
    height = serializers.IntegerField()


class _ModelSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    steps = serializers.IntegerField(help_text="When a request gives none.")


class _PresetSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()


class ConfigSerializer(serializers.Serializer[Any]):
    """The server's limits, defaults and what it can do."""

    version = serializers.CharField()
    signup_enabled = serializers.BooleanField()
    modes = serializers.ListField(child=serializers.CharField())
    models = _ModelSerializer(many=True)
    workflows = serializers.ListField(
        child=serializers.CharField(),
        allow_null=True,
        help_text="What the image machines can make now, as mode[-base][-anchor]; "
        "null while none answers.",
    )
    sizes = _SizeSerializer(many=True)
    limits = _LimitsSerializer()
    defaults = _DefaultsSerializer()
    presets = _PresetSerializer(many=True)
    gpu = serializers.ChoiceField(choices=["simulated", "comfyui"])


class ConfigView(APIView):
    """The server's limits and defaults."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(operation_id="config_get", responses=ConfigSerializer)
    def get(self, request: Request) -> Response:  # noqa: ARG002 - DRF's signature
        """Return what a client may know before anybody signs in."""
        return Response(config())


def config() -> dict[str, Any]:
    """The server's limits, defaults and what it can do."""
    offered = workflows_offered()
    return {
        "version": settings.VERSION,
        "signup_enabled": settings.SIGNUP_ENABLED,
        "modes": list(MODES),
        "models": [{"id": name, "steps": steps} for name, steps in STEPS_OF_MODEL.items()],
        "workflows": None if offered is None else sorted(offered),
        "sizes": [{"aspect": a, "width": w, "height": h} for a, w, h in SIZES],
        "limits": {
            "prompt_chars": PROMPT_CHARS_MAX,
            "sketch_bytes": SKETCH_BYTES_MAX,
            "sketch_pixels": SKETCH_PIXELS_MAX,
            "count": {"min": COUNT_MIN, "max": COUNT_MAX},
            "steps": {"min": STEPS_MIN, "max": STEPS_MAX},
            "daily": settings.PENCIL.daily_limit,
        },
        "defaults": {
            "mode": MODES[0],
            "denoise": DENOISE_OF_MODE[MODES[0]],
            "steps": STEPS_OF_MODEL[MODELS[0]],
            "width": SIDE_DEFAULT,
            "height": SIDE_DEFAULT,
        },
        "presets": [{"id": preset.id, "name": preset.name} for preset in preset_list()],
        "gpu": "simulated" if settings.PENCIL.is_simulated else "comfyui",
    }
