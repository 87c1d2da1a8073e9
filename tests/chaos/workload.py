"""What is sent: uploads, parts, updates and deletes of the same products, and poison. A pure function of the seed."""

from __future__ import annotations

import base64
import io
import json
import random
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from infra.store import content_key
from processors.decode import encode_jpeg

Kind: TypeAlias = Literal["upload", "part", "delete", "poison"]

POISONS = ("truncated", "zip", "empty", "missing", "malformed", "inline-zip", "no-image")
"""Kinds of poison, dealt out in turn. Each can never succeed, whatever is up or down."""
POISON_SHARE = 0.05
PRODUCTS_SHARE = 0.6
DELETE_SHARE = 0.06
INLINE_SHARE = 0.2
SAME_PHOTO_SHARE = 0.15
LABELLED_SHARE = 0.5
PART_SHARE = 0.2
VERSIONED_SHARE = 0.25
"""Of the products: all of their uploads have versions, which come out of order."""
SEVERAL_SHARE = 0.25
ROLES = ("", "front", "back", "model", "packshot", "detail")
HEADER = "chaos-op"
"""Header of an upload that says which `Op` it is."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One photo of a product: the seed of its picture, and what it is said to show."""

    photo: int
    role: str = ""


@dataclass(frozen=True, slots=True)
class Op:
    """One record of `catalog.uploads`. `photo` is the seed of its picture; equal numbers are equal bytes.

    `further`: photos beside it. A "part" has no photo, and `patch` instead of the metadata: None removes a field.
    """

    number: int
    product_id: str
    kind: Kind
    photo: int = 0
    inline: bool = False
    labels: tuple[tuple[str, str], ...] = ()
    poison: str = ""
    further: tuple[Shot, ...] = ()
    version: int | None = None
    patch: tuple[tuple[str, str | None], ...] = ()

    @property
    def shots(self) -> tuple[Shot, ...]:
        """All of its photos, each once."""
        first = Shot(self.photo, "main" if self.further else "")
        return (first, *(shot for shot in self.further if shot.photo != self.photo))


def workload(seed: int, uploads: int) -> tuple[Op, ...]:
    """`uploads` uploads, of which 5 % (rounded, at least one) are poison, and a few deletes between them.

    A fifth of the others says a part of a product, some before its first photo; a quarter has several photos; and of some
    products every upload has a version, which is not always newer than the one before.

    Products come back: about four of ten uploads change one that is there, often one that was changed just before, so
    that a lost order shows.
    """
    random_ = random.Random(f"workload {seed}")
    products = max(4, round(uploads * PRODUCTS_SHARE))
    count = min(uploads - 1, max(1, round(uploads * POISON_SHARE)))
    # Never the first: a delete or an update of poison only needs something that is there.
    poisoned = dict(zip(sorted(random_.sample(range(1, uploads), count)), _poisons(random_, count), strict=True))
    deletes = set(random_.sample(range(2, uploads), min(uploads - 2, round(uploads * DELETE_SHARE))))
    ops: list[Op] = []
    known: list[str] = []
    shown: dict[str, Op] = {}
    for n in range(uploads):
        product_id = _product(random_, known, products)
        if n in poisoned:
            ops.append(Op(len(ops), product_id, "poison", poison=poisoned[n]))
        else:
            photo = n if random_.random() > SAME_PHOTO_SHARE else random_.randrange(n + 1)
            inline = random_.random() < INLINE_SHARE
            op = Op(len(ops), product_id, "upload", photo, inline, _labels(random_))
            if random_.random() < PART_SHARE:
                op = Op(len(ops), product_id, "part", patch=_patch(random_))
            elif random_.random() < SEVERAL_SHARE:
                op = shown[product_id] = _with_others(random_, op, shown.get(product_id))
            ops.append(replace(op, version=_version(random_, seed, product_id, n)))
        if n in deletes:
            ops.append(Op(len(ops), random_.choice(known[-8:]), "delete"))
    return tuple(ops)


def _poisons(random_: random.Random, count: int) -> list[str]:
    dealt = [POISONS[n % len(POISONS)] for n in range(count)]
    random_.shuffle(dealt)
    return dealt


def _product(random_: random.Random, known: list[str], products: int) -> str:
    """A new product, as long as there are any; else, or by chance, one that was touched lately."""
    if known and (len(known) >= products or random_.random() > PRODUCTS_SHARE):
        return random_.choice(known[-6:] if random_.random() < 0.6 else known)
    known.append(f"p-{len(known):04d}")
    return known[-1]


PRICE_SHARE = 0.5
"""Of the parts that say a price and nothing else: several of a product that arrive together may become one item."""
PRICES = ("10.00", "12.50", "15.00")


def _labels(random_: random.Random) -> tuple[tuple[str, str], ...]:
    """Half of the products teach their neighbours, so that a caption depends on when it was first written."""
    if random_.random() > LABELLED_SHARE:
        return ()
    fabric, gender = random_.choice(("cotton", "linen", "wool")), random_.choice(("women", "men"))
    return (("fabric", fabric), ("gender", gender))


def _with_others(random_: random.Random, op: Op, before: Op | None) -> Op:
    """Several photos; of a product that had some, the same with one more or one less."""
    if before is None:
        photos = random_.sample(range(op.number + 3), random_.randrange(1, 3))
        others = [photo for photo in sorted(photos) if photo != op.photo]
        return replace(op, further=tuple(Shot(photo, random_.choice(ROLES)) for photo in others))
    if before.further and random_.random() < 0.5:
        return replace(op, photo=before.photo, further=before.further[:-1])
    seen = {shot.photo for shot in before.shots}
    more = next(photo for photo in range(op.number, op.number + 9) if photo not in seen)
    return replace(op, photo=before.photo, further=(*before.further, Shot(more, random_.choice(ROLES)))[:15])


def _patch(random_: random.Random) -> tuple[tuple[str, str | None], ...]:
    if random_.random() < PRICE_SHARE:
        return (("price", random_.choice((*PRICES, None))),)
    names = random_.sample(("season", "fabric", "gender", "brand"), random_.randrange(1, 3))
    values = {"season": ("summer", "winter"), "fabric": ("cotton", "silk"), "gender": ("women",), "brand": ("a", "b")}
    return tuple((name, random_.choice((*values[name], None))) for name in sorted(names))


def _version(random_: random.Random, seed: int, product_id: str, number: int) -> int | None:
    """Newer than those before in two of three."""
    late = random_.choice((0, 0, random_.randrange(1, 60)))
    versioned = random.Random(f"{seed} {product_id}").random() < VERSIONED_SHARE
    return 10 * number - 10 * late + 5 * (late > 0) if versioned else None


# ---------------------------------------------------------------- bytes


def photo_of(photo: int) -> bytes:
    """A JPEG of a solid garment on white: small, and different for every number."""
    random_ = random.Random(f"photo {photo}")
    pixels = np.full((96, 96, 3), 250, dtype=np.uint8)
    width, height = random_.randrange(20, 60), random_.randrange(30, 64)
    pixels[16 : 16 + height, 18 : 18 + width] = [random_.randrange(0, 180) for _ in range(3)]
    # The number itself, as a pattern in the garment: equal colours by chance are still two photos.
    bits = [(photo >> n) & 1 for n in range(16)]
    pixels[40:42, 20:36] = np.array([[b * 255] * 3 for b in bits], dtype=np.uint8)[None]
    return encode_jpeg(pixels)


def object_of(op: Op) -> tuple[str, bytes | None] | None:
    """Key and bytes of the object that an upload names; bytes None: named, and not there. None: it names none."""
    if op.kind in {"delete", "part"} or op.inline or op.poison in {"malformed", "inline-zip", "no-image"}:
        return None
    if op.kind == "upload":
        data = photo_of(op.photo)
    elif op.poison == "missing":
        return f"images/{op.number:04d}-is-not-there.jpg", None
    elif op.poison == "empty":
        data = b""
    else:
        data = _zip(op) if op.poison == "zip" else _truncated(op)
    return content_key(data, ".jpg"), data


def value_of(op: Op, uri: Callable[[str], str]) -> bytes | None:
    """The value of its record; `uri` makes an address of a key."""
    if op.kind == "delete":
        return None
    if op.poison == "malformed":
        return f'{{"product_id": "{op.product_id}", "image": {{"uri": '.encode()
    record: dict[str, Any] = {"product_id": op.product_id}
    if op.poison != "no-image":
        record["metadata"] = as_sent(metadata_of(op))
    if op.version is not None:
        record["version"] = op.version
    if op.further:
        record["images"] = [_image_of(shot, uri) for shot in op.further]
    if op.kind == "part":
        return json.dumps(record).encode()
    named = object_of(op)
    if named is not None:
        record["image"] = {"uri": uri(named[0])}
    elif op.poison != "no-image":
        data = _zip(op) if op.poison else photo_of(op.photo)
        record["image"] = {"bytes": base64.b64encode(data).decode()}
    return json.dumps(record).encode()


def as_sent(metadata: Mapping[str, str | None]) -> dict[str, str | float | None]:
    """Prices are numbers."""
    return {name: float(value) if name == "price" and value else value for name, value in metadata.items()}


def metadata_of(op: Op) -> dict[str, str | None]:
    """What it says of its product."""
    if op.kind == "part":
        return dict(op.patch)
    return {"title": f"upload {op.number}", "brand": f"brand {op.number % 7}", **dict(op.labels)}


def _image_of(shot: Shot, uri: Callable[[str], str]) -> dict[str, str]:
    role = {"role": shot.role} if shot.role else {}
    return {"uri": uri(content_key(photo_of(shot.photo), ".jpg")), **role}


def objects_of(op: Op) -> list[tuple[str, bytes | None]]:
    """All that an upload names; see `object_of`."""
    first = object_of(op)
    data = [photo_of(shot.photo) for shot in op.further]
    return [*([first] if first is not None else []), *((content_key(one, ".jpg"), one) for one in data)]


def _truncated(op: Op) -> bytes:
    data = photo_of(100_000 + op.number)
    return data[: len(data) * 3 // 4]


def _zip(op: Op) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(zipfile.ZipInfo(f"{op.number}.txt"), "not a photo")
    return packed.getvalue()
