"""Requests to edit a photo: bytes to records and back, and the checks that types cannot express."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from processors.errors import EDIT_CODES, Code, Poison
from processors.identity import checked_shop
from processors.values import MAX_QUERY_TEXT
from streams.contract import checks, codecs, plain
from streams.contract.boxes import FIELD, check_box
from streams.contract.cloudevents import unwrapped
from streams.contract.edits import MAX_REFERENCES, MAX_SEED, EditRequest, EditResult
from streams.contract.limits import MAX_DEADLINE_MS, MAX_ID_BYTES
from streams.contract.records import ImageRef
from streams.engine.message import Message

_REQUEST = msgspec.json.Decoder(EditRequest)
_RESULT = msgspec.json.Decoder(EditResult)


class BadEdit(Poison):
    """A request that gets a result with an error; `request_id`: of the request, else its key."""

    def __init__(self, message: str, *, code: Code, request_id: str, field: str = "") -> None:
        super().__init__(message, field=field, code=code)
        self.request_id = request_id


def request_id_of(message: Message) -> str:
    """The id of a request, also of one that is not well formed: its own, else its key."""
    key = (message.key or b"")[:MAX_ID_BYTES].decode(errors="replace")
    try:
        found = msgspec.json.decode(plain.json_of(unwrapped(message).value or b""))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, Poison):
        return key
    named = found.get("request_id") if isinstance(found, dict) else None
    return named[:MAX_ID_BYTES] if isinstance(named, str) and named else key


def decode_request(message: Message) -> EditRequest:
    """A checked request; what it starts from is in `image`. Raises `BadEdit`."""
    request_id = request_id_of(message)
    try:
        request = codecs.decode_given(_REQUEST, unwrapped(message).value or b"", EditRequest)
        request = _started(request)
        _check(request)
    except Poison as error:
        raise BadEdit(error.message, code=_code(error), request_id=request_id, field=error.field) from error
    return request


def decode_edit_result(value: bytes) -> EditResult:
    """A record of `edits.results`. Raises `Poison`."""
    return codecs.decode_given(_RESULT, value, EditResult)


def _code(error: Poison) -> Code:
    photo = error.field.partition(".")[0] == "image" and error.field != FIELD and error.code is not Code.MISSING_FIELD
    if photo:
        return Code.BAD_IMAGE
    return error.code if error.code in EDIT_CODES else Code.INVALID


def _started(request: EditRequest) -> EditRequest:
    if request.product is not None:
        if request.image is not None:
            raise Poison("needs exactly one of image and product", field="product", code=Code.INVALID)
        request = msgspec.structs.replace(request, image=ImageRef(product_id=request.product))
    if request.image is None:
        raise Poison("there is no photo: give image or product", field="image", code=Code.MISSING_FIELD)
    image, mask = codecs.inlined(request.image, "image"), request.mask
    if mask is not None:
        mask = codecs.inlined(mask, "mask")
    box = request.box if request.box is not None else image.box
    return msgspec.structs.replace(request, image=image, mask=mask, box=box)


def _check(request: EditRequest) -> None:
    assert request.image is not None
    checks.check_image(request.image)
    if request.mask is not None:
        checks.check_image(request.mask, "mask")
        if request.mask.product_id is not None:
            raise Poison("is a drawing, and no product", field="mask.product_id", code=Code.INVALID)
    if request.box is not None:
        check_box(ImageRef(uri="-", box=request.box))
    for number, product_id in enumerate(request.references):
        checks.check_id(product_id, f"references[{number}]")
    checked_shop(request.shop)
    if not request.text.strip():
        raise Poison("says nothing of what the garment is to become", field="text", code=Code.EMPTY_QUERY)
    for holds, message, field in _bounds(request):
        if not holds:
            raise Poison(message, field=field, code=Code.OUT_OF_RANGE)


def _bounds(request: EditRequest) -> Iterator[tuple[bool, str, str]]:
    yield 0 < len(request.request_id.encode()) <= MAX_ID_BYTES, "is empty or too long", "request_id"
    yield len(request.text) <= MAX_QUERY_TEXT, f"is longer than {MAX_QUERY_TEXT} characters", "text"
    yield len(request.references) <= MAX_REFERENCES, f"has more than {MAX_REFERENCES} products", "references"
    yield request.seed is None or 0 <= request.seed <= MAX_SEED, f"is not within 0..{MAX_SEED}", "seed"
    yield request.steps is None or 1 <= request.steps <= 1000, "is not within 1..1000", "steps"
    within = 1 <= request.deadline_ms <= MAX_DEADLINE_MS
    yield within, f"is not within 1..{MAX_DEADLINE_MS}", "deadline_ms"
