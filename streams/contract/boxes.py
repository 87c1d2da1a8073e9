"""The box by which a query asks for one garment of its photo."""

from __future__ import annotations

import math

from processors.errors import Code, Poison
from streams.contract.records import ImageRef

FIELD = "image.box"


def check_box(image: ImageRef | None) -> None:
    """Hold the box of a query's image against what can be known without the photo; how large that is, its decoder says.

    Raises:
        Poison: it is no box, or what it is of is no photo.
    """
    if image is None or image.box is None:
        return
    x0, y0, x1, y1 = image.box
    if image.product_id is not None:
        raise Poison("is of a photo, and a product of the catalogue is given", field=FIELD, code=Code.INVALID)
    if not all(map(math.isfinite, image.box)):
        raise Poison("has a number that is not finite", field=FIELD, code=Code.OUT_OF_RANGE)
    if not (x0 < x1 and y0 < y1):
        raise Poison("is [x0, y0, x1, y1] with x0 < x1 and y0 < y1", field=FIELD, code=Code.OUT_OF_RANGE)
    if x1 <= 0 or y1 <= 0:
        raise Poison("lies above the photo, or to the left of it", field=FIELD, code=Code.OUT_OF_RANGE)
