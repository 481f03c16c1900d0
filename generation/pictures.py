"""Pictures: what a request is made from, decoded, named, and on its way to storage."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from generation.exceptions import Busy, InvalidImage, InvalidInput
from generation.images import Encoded, sketch_normalise
from generation.models import GeneratedImage
from generation.params import ENLARGEMENT, ENLARGING, SIDE_MAX, SIDE_MULTIPLE, JobParams
from generation.storage import blob_read, sketch_keep, sketch_name
from generation.submissions import OwnImage, Picture, Submission
from usage.connections import connection_lend
from usage.models import User

# A sketch of the largest size takes some 60 MB while it is read.
SKETCHES_AT_ONCE = 4
READING_WAIT_S = 10.0
# Measured where it is encoded anew: a dense drawing of 512² has 316 kB and takes 16 ms, one of
# 1024² has 974 kB and takes 53 ms.
QUICK_BYTES_MAX = 512 * 1024
_reading = threading.BoundedSemaphore(SKETCHES_AT_ONCE)
_writing = ThreadPoolExecutor(16, thread_name_prefix="sketches")


class Sketch:
    """A sketch that is being read and written, while the database does what needs no name of it.

    Attributes:
        written: ends once it is in storage, or could not be read.
    """

    written: Future[None]

    def __init__(self, user_id: int, data: bytes) -> None:
        self._named: Future[str] = Future()
        self._user_id = user_id
        self._data = data

    def begin(self) -> None:
        """Have a thread do it. The caller holds one of `_reading`, which is released then."""
        self.written = _writing.submit(self._bring)

    def name(self) -> str:
        """Wait for its name.

        Raises:
            InvalidInput: it is none that we take.
            Busy: that takes too long to know.
        """
        try:
            return self._named.result(READING_WAIT_S)
        except TimeoutError as error:
            raise Busy from error

    def _bring(self) -> None:
        try:
            picture = _normalised(self._data, field="sketch")
            name = sketch_name(self._user_id, picture.data)
        except BaseException as error:
            self._named.set_exception(error)
            raise
        finally:
            _reading.release()
        self._named.set_result(name)
        sketch_keep(name, picture.data)


def sketch_begin(user_id: int, submission: Submission) -> Sketch | None:
    """Begin to read the sketch of a request; None where all pictures are to be read first.

    That is so where they decide about the job's parameters, where others wait to be read, and
    where it takes long: rows are locked meanwhile.
    """
    data, params = submission.sketch, submission.params
    if isinstance(data, OwnImage) or len(data) > QUICK_BYTES_MAX or params.mode in ENLARGING:
        return None
    if submission.references or submission.anchor or not _reading.acquire(blocking=False):
        return None
    sketch = Sketch(user_id, data)
    sketch.begin()
    return sketch


@dataclass(frozen=True, slots=True)
class Pictures:
    """The pictures of a request, named but not written; `params` has the names of the others."""

    sketch: str
    params: JobParams
    data: dict[str, bytes]

    def write(self) -> list[Future[None]]:
        """Have threads bring them to the disk."""
        return [_writing.submit(sketch_keep, name, data) for name, data in self.data.items()]


def pictures_read(user: User, submission: Submission) -> Pictures:
    """Decode all pictures of a request and name them."""
    params = submission.params
    data: dict[str, bytes] = {}

    def named(picture: Encoded) -> str:
        name = sketch_name(user.pk, picture.data)
        data[name] = picture.data
        return name

    sketch = _picture_read(user, submission.sketch, field="sketch")
    if params.mode in ENLARGING:
        params = _enlarged(params, sketch)
    size = (params.width, params.height)
    references = [
        named(_picture_read(user, picture, field="references")) for picture in submission.references
    ]
    anchor_image = anchor_mask = ""
    if submission.anchor is not None:
        image = _picture_read(user, submission.anchor.image, field="anchor.image")
        mask = _picture_read(user, submission.anchor.mask, field="anchor.mask")
        for field, picture in (("anchor.image", image), ("anchor.mask", mask)):
            if (picture.width, picture.height) != size:
                sentence = f"Give a picture of the image's size, {size[0]}×{size[1]} pixels."
                raise InvalidInput({field: [sentence]})
        anchor_image, anchor_mask = named(image), named(mask)
    params = replace(
        params, references=tuple(references), anchor_image=anchor_image, anchor_mask=anchor_mask
    )
    return Pictures(named(sketch), params, data)


def _enlarged(params: JobParams, source: Encoded) -> JobParams:
    """The parameters with twice the source's size, to a multiple that the model takes."""
    if max(source.width, source.height) > SIDE_MAX:
        sentence = f"The image is larger than {SIDE_MAX} pixels on a side already."
        raise InvalidInput({"sketch": [sentence]})
    width, height = (
        max(1, round(side * ENLARGEMENT / SIDE_MULTIPLE)) * SIDE_MULTIPLE
        for side in (source.width, source.height)
    )
    return replace(params, width=width, height=height)


def _picture_read(user: User, picture: Picture, *, field: str) -> Encoded:
    """Read and normalise, a few at a time: each takes memory while it lasts."""
    if isinstance(picture, OwnImage):
        image = GeneratedImage.objects.filter(job__user=user, id=picture.id).first()
        if image is None:
            raise InvalidInput({field: ["You have no such image."]})
        try:
            data = blob_read(image.file)
        except FileNotFoundError as error:
            raise InvalidInput({field: ["This image is gone from the server."]}) from error
    else:
        data = picture
    if not _reading.acquire(blocking=False):
        connection_lend()
        if not _reading.acquire(timeout=READING_WAIT_S):
            raise Busy
    try:
        return _normalised(data, field=field)
    finally:
        _reading.release()


def _normalised(data: bytes, *, field: str) -> Encoded:
    try:
        return sketch_normalise(data)
    except InvalidImage as error:
        raise InvalidInput({field: [str(error)]}) from error
