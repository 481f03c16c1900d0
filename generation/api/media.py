"""Pictures over HTTP: images, thumbnails, sketches and previews, to their owner alone."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

from django.http import HttpResponse, HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from generation.exceptions import NotFound
from generation.images import image_check, thumbnail_encode
from generation.models import GeneratedImage
from generation.previews import preview_get
from generation.selectors import image_get, job_get
from generation.storage import blob_read, blob_write
from usage.api.views import caller

# A name's bytes never change; private, because only its owner may see it.
FOR_EVER = "private, max-age=31536000, immutable"
NOT_AT_ALL = "private, no-store"


class ImageView(APIView):
    """A finished image."""

    @extend_schema(operation_id="image_get", responses={(200, "image/png"): OpenApiTypes.BINARY})
    def get(self, request: Request, image_id: UUID) -> HttpResponseBase:
        """Return the image as the node made it."""
        image = image_get(caller(request), image_id)
        return _picture(image.file, image.content_type, what="image")


class ThumbnailView(APIView):
    """A finished image, small."""

    @extend_schema(
        operation_id="thumbnail_get", responses={(200, "image/webp"): OpenApiTypes.BINARY}
    )
    def get(self, request: Request, image_id: UUID) -> HttpResponseBase:
        """Return the image as a small WebP."""
        image = image_get(caller(request), image_id)
        try:
            return _bytes(blob_read(image.thumbnail), "image/webp", FOR_EVER)
        except FileNotFoundError:
            return _bytes(_thumbnail_make(image), "image/webp", FOR_EVER)


class SketchView(APIView):
    """The sketch that a job was made from."""

    @extend_schema(operation_id="sketch_get", responses={(200, "image/png"): OpenApiTypes.BINARY})
    def get(self, request: Request, job_id: UUID) -> HttpResponseBase:
        """Return the sketch as it was sent to the node."""
        return _picture(job_get(caller(request), job_id).sketch, "image/png", what="sketch")


class PreviewView(APIView):
    """What a running job looks like so far."""

    @extend_schema(operation_id="preview_get", responses={(200, "image/jpeg"): OpenApiTypes.BINARY})
    def get(self, request: Request, job_id: UUID) -> HttpResponseBase:
        """Return the newest preview, while it is kept; 404 before the job's first step.

        A job that has just ended has it still: a page asks for what it was told a moment ago.
        """
        data = preview_get(job_get(caller(request), job_id).id)
        if data is None:
            raise NotFound("preview")
        return _bytes(data, "image/jpeg", NOT_AT_ALL)


def _thumbnail_make(image: GeneratedImage) -> bytes:
    """Make what its worker has not got round to, or never will."""
    try:
        data = blob_read(image.file)
    except FileNotFoundError as error:
        raise NotFound("image") from error
    pixels = image_check(data, width=image.width, height=image.height).pixels
    thumbnail = thumbnail_encode(pixels).data
    with suppress(OSError):
        blob_write(image.thumbnail, thumbnail)
    return thumbnail


def _picture(name: str, content_type: str, *, what: str) -> HttpResponse:
    try:
        return _bytes(blob_read(name), content_type, FOR_EVER)
    except FileNotFoundError as error:
        raise NotFound(what) from error


def _bytes(data: bytes, content_type: str, caching: str) -> HttpResponse:
    response = HttpResponse(data, content_type=content_type)
    response["Cache-Control"] = caching
    response["X-Content-Type-Options"] = "nosniff"
    return response
