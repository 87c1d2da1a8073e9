"""Several images in a query: "the cut of this, the colour of that". One is what it starts from, the others lend one facet each."""

from __future__ import annotations

from msgspec.structs import replace

from processors.errors import Code, Poison
from streams.contract.records import ImageRef, Query

START = "cut"
"""The role of the image that the query starts from; one without a role is that, too."""
LENT: tuple[str, ...] = ("colour", "pattern", "sleeve", "neckline", "length", "fabric")
"""The roles of the others: the facet that is theirs."""
MAX_IMAGES = len(LENT) + 1


def with_start(query: Query) -> Query:
    """The query with what it starts from as its `image`, so that `images` has only what lends a facet.

    Raises:
        Poison: an image has no such role, two have the same one, or what lends a facet is no product of the catalogue.
    """
    if not query.images:
        return query
    if len(query.images) > MAX_IMAGES:
        raise Poison(f"has more than {MAX_IMAGES} images", field="images", code=Code.OUT_OF_RANGE)
    # Errors name an image by its place; once the start is taken out, by its role.
    image, roles = query.image, [START] if query.image is not None else []
    lenders = []
    for number, one in enumerate(query.images):
        field, role = f"images[{number}]", one.role or START
        if role != START and role not in LENT:
            raise Poison(
                f"{role[:50]!r} is none of {', '.join((START, *LENT))}", field=f"{field}.role", code=Code.UNKNOWN_NAME
            )
        if role in roles:
            raise Poison(f"is a second image for {role!r}", field=f"{field}.role", code=Code.INVALID)
        roles.append(role)
        if role == START:
            image = ImageRef(one.uri, one.bytes, one.product_id, one.box)
            continue
        if one.product_id is None or any(given is not None for given in (one.uri, one.bytes, one.box)):
            raise Poison(
                f"what lends its {role} is a product of the catalogue; only what the query starts from may be a photo",
                field=f"{field}.product_id",
                code=Code.INVALID,
            )
        lenders.append(one)
    return replace(query, image=image, images=tuple(lenders))


def check_start(query: Query) -> None:
    """Hold a query whose images were parted to this: what lends a facet lends it to something.

    Raises:
        Poison: there is nothing that the query starts from.
    """
    if query.images and query.image is None:
        raise Poison(f"none of them is what the query starts from (role {START!r})", field="images", code=Code.INVALID)
