"""The checks of EVENTS.md that types cannot express: what is wrong raises `Poison` naming the field, or `BadQuery`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from processors import conditions
from processors.errors import Code, Poison
from processors.identity import checked_shop
from processors.ordering import SORTS
from processors.photo_roles import MAIN, MAX_PHOTOS, ROLES
from processors.values import MAX_QUERY_TEXT
from streams.contract.boxes import FIELD, check_box
from streams.contract.limits import (
    MAX_COUNTED,
    MAX_DEADLINE_MS,
    MAX_DEPTH,
    MAX_EDITS,
    MAX_FACETS,
    MAX_FIELDS,
    MAX_FILTER_VALUES,
    MAX_ID_BYTES,
    MAX_INLINE_IMAGE_BYTES,
    MAX_TOP_K,
    MAX_URI_BYTES,
)
from streams.contract.records import ImageRef, Query, Upload, UploadPhoto


class BadQuery(Poison):
    """A query that gets a `Result` with an error.

    Args:
        message: what is wrong.
        code: one of `RESULT_CODES`.
        query_id: of the query, else its record key, else "".
        field: the field at fault.
    """

    def __init__(self, message: str, *, code: Code, query_id: str, field: str = "") -> None:
        super().__init__(message, field=field, code=code)
        self.query_id = query_id


def fields_of(upload: Upload) -> dict[str, Any] | None:
    """What an upload says of its product beside its photos, as one object; None for nothing."""
    if upload.group_id is None:
        return upload.metadata
    return {**(upload.metadata or {}), "group_id": upload.group_id}


def photos_of(upload: Upload) -> tuple[tuple[str, UploadPhoto], ...]:
    """The photos of a checked upload, each with the field that gives it: `image` first, the main one among the others."""
    further = [(f"images[{number}]", photo) for number, photo in enumerate(upload.images or ())]
    if upload.image is None:
        return tuple(further)
    role = MAIN if further else None
    return (("image", UploadPhoto(upload.image.uri, upload.image.bytes, role)), *further)


def check_id(value: str, field: str) -> None:
    if not value:
        raise Poison("is empty", field=field, code=Code.WRONG_KEY if field == "key" else Code.OUT_OF_RANGE)
    if len(value.encode()) > MAX_ID_BYTES:
        raise Poison(f"is longer than {MAX_ID_BYTES} bytes", field=field, code=Code.OUT_OF_RANGE)


def check_photos(upload: Upload) -> None:
    if upload.image is not None and upload.image.product_id is not None:
        raise Poison("only a query may refer to a product", field="image.product_id", code=Code.INVALID)
    if upload.image is not None and upload.image.box is not None:
        raise Poison("only a query may ask for a part of a photo", field=FIELD, code=Code.INVALID)
    if upload.image is None and upload.images is None and fields_of(upload) is None:
        raise Poison("there is no photo, and no metadata either", field="image", code=Code.MISSING_FIELD)
    if upload.images is not None and not upload.images:
        raise Poison("is empty: leave it out to keep the photos", field="images", code=Code.OUT_OF_RANGE)
    photos = photos_of(upload)
    if len(photos) > MAX_PHOTOS:
        raise Poison(f"there are {len(photos)} photos, more than {MAX_PHOTOS}", field="images", code=Code.OUT_OF_RANGE)
    for field, photo in photos:
        check_image(ImageRef(photo.uri, photo.bytes), field)
        if photo.role is not None and photo.role not in ROLES:
            named = f"{photo.role[:50]!r} is none of {', '.join(ROLES)}"
            raise Poison(named, field=f"{field}.role", code=Code.UNKNOWN_NAME)
    main = [field for field, photo in photos if photo.role == MAIN]
    if len(main) > 1:
        raise Poison(f"is a second main photo beside {main[0]}", field=f"{main[1]}.role", code=Code.INVALID)


def check_image(image: ImageRef, field: str = "image") -> None:
    """Hold an image to one source within its limits. Raises `Poison`."""
    given = [value for value in (image.uri, image.bytes, image.product_id) if value is not None]
    if len(given) != 1:
        raise Poison("needs exactly one source", field=field, code=Code.INVALID)
    if image.uri is not None and not 0 < len(image.uri.encode()) <= MAX_URI_BYTES:
        raise Poison(f"is empty or longer than {MAX_URI_BYTES} bytes", field=f"{field}.uri", code=Code.OUT_OF_RANGE)
    if image.bytes is not None and not 0 < len(image.bytes) <= MAX_INLINE_IMAGE_BYTES:
        raise Poison(
            f"is empty or larger than {MAX_INLINE_IMAGE_BYTES} bytes; use a uri",
            field=f"{field}.bytes",
            code=Code.OUT_OF_RANGE,
        )
    if image.product_id is not None:
        check_id(image.product_id, f"{field}.product_id")


def check_query(query: Query, query_id: str, *, filters_alone: bool = False) -> None:
    def refuse(code: Code, message: str, field: str) -> BadQuery:
        return BadQuery(message, code=code, query_id=query_id[:MAX_ID_BYTES], field=field)

    if not query.query_id or len(query.query_id.encode()) > MAX_ID_BYTES:
        raise refuse(Code.OUT_OF_RANGE, f"is empty or longer than {MAX_ID_BYTES} bytes", "query_id")
    nothing = query.image is None and not query.images and not (query.text or "").strip()
    if nothing and not (filters_alone and query.filters):
        raise refuse(Code.EMPTY_QUERY, "needs an image, a text, or both", "")
    if query.image is not None:
        try:
            check_image(query.image)
        except Poison as error:
            raise refuse(Code.BAD_IMAGE, error.message, error.field) from error
    for ok, message, field in _bounds(query):
        if not ok:
            raise refuse(Code.OUT_OF_RANGE, message, field)
    if query.sort is not None and query.sort not in SORTS:
        raise refuse(Code.UNKNOWN_NAME, f"is {query.sort[:50]!r}, and none of {', '.join(SORTS)}", "sort")
    try:
        check_box(query.image)
        checked_shop(query.shop)
        conditions.parted(query.filters)
    except Poison as error:
        raise refuse(error.code, error.message, error.field) from error


def _bounds(query: Query) -> Iterator[tuple[bool, str, str]]:
    """(whether it holds, what to say otherwise, field) of every bound of a query."""
    yield len(query.text or "") <= MAX_QUERY_TEXT, f"is longer than {MAX_QUERY_TEXT} characters", "text"
    yield len(query.edits) <= MAX_EDITS, f"has more than {MAX_EDITS} turns", "edits"
    yield sum(map(len, query.edits)) <= MAX_QUERY_TEXT, f"is longer than {MAX_QUERY_TEXT} characters", "edits"
    named = query.previous is None or 0 < len(query.previous.encode()) <= MAX_ID_BYTES
    yield named, f"is empty or longer than {MAX_ID_BYTES} bytes", "previous"
    yield 1 <= query.top_k <= MAX_TOP_K, f"is not within 1..{MAX_TOP_K}", "top_k"
    yield query.limit is None or 1 <= query.limit <= MAX_TOP_K, f"is not within 1..{MAX_TOP_K}", "limit"
    depth = query.offset + (query.top_k if query.limit is None else query.limit)
    yield query.offset >= 0 and depth <= MAX_DEPTH, f"is below 0, or ends beyond {MAX_DEPTH} hits", "offset"
    yield 0 <= query.min_relevance <= 1, "is not within 0..1", "min_relevance"
    yield 0 < query.score_band <= 4, "is not within 0..4, or is 0", "score_band"
    yield len(query.facets) <= MAX_COUNTED, f"has more than {MAX_COUNTED} names", "facets"
    yield len(query.fields) <= MAX_FIELDS, f"has more than {MAX_FIELDS} names", "fields"
    yield 1 <= query.deadline_ms <= MAX_DEADLINE_MS, f"is not within 1..{MAX_DEADLINE_MS}", "deadline_ms"
    yield len(query.filters) <= MAX_FACETS, f"has more than {MAX_FACETS} facets", "filters"
    most = max((len(value) for value in query.filters.values() if isinstance(value, list | tuple | dict)), default=0)
    yield most <= MAX_FILTER_VALUES, f"has more than {MAX_FILTER_VALUES} values of a facet", "filters"
    yield min(query.min_offsets.values(), default=0) >= 0, "has a negative offset", "min_offsets"
