"""The photos of an upload, as they are given: bytes, addresses in our store, or addresses of somebody else's hosts.

What need not be read is not read: a photo that its product has already is told by its address, which is the hash of its bytes.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import msgspec

from infra.fetch import Fetcher
from infra.store import NotFound, ObjectStore, content_digest
from infra.threads import InThread
from processors import decode, image_parts
from processors.errors import Code, Poison
from processors.product import PhotoPlace, Product
from streams.contract.checks import photos_of
from streams.contract.records import Upload, UploadPhoto
from streams.roles.remote import Kept, RemotePhotos
from streams.roles.work import Photo, Stored
from streams.search import query_photos

LOOKED_FOR = 32
"""Photos that one thread looks for, one after the other."""


@dataclass(frozen=True, slots=True)
class GivenPhotos:
    """Gets photos, and keeps them. See `streams.roles.enrich.Enrich` for the arguments."""

    store: ObjectStore
    fetcher: Fetcher
    remote: RemotePhotos
    limits: decode.DecodeLimits
    keep_metadata: bool
    in_thread: InThread

    async def of(self, upload: Upload, product: Product) -> list[Photo | Stored]:
        """The photos of an upload, each once.

        Args:
            upload: checked.
            product: what is known of it: of its photos nothing is read.

        Raises:
            Poison: a photo cannot be used; names its field.
            Retryable: the store is away.
        """
        found: dict[str, Photo | Stored] = {}
        for field, given in photos_of(upload):
            with of_field(field):
                photo = await self._photo(given, field, product)
            if photo.place.digest not in found:
                found[photo.place.digest] = photo
        return list(found.values())

    def lying(self, upload: Upload, product: Product) -> tuple[PhotoPlace, ...] | None:
        """The photos of an upload, where all of them are photos of the product in our store; else None."""
        found: dict[str, PhotoPlace] = {}
        for _, given in photos_of(upload):
            key = None if given.bytes is not None or given.uri is None else self.store.key_of(given.uri)
            place = None if key is None else self._known(key, given.role or "", product)
            if place is None:
                return None
            found.setdefault(place.digest, place)
        return tuple(found.values())

    async def there(self, places: Iterable[PhotoPlace]) -> set[str]:
        """The addresses of those that lie in our store."""

        def look(part: Sequence[str]) -> set[str]:
            return {address for address in part if self.store.exists(self.store.key_of(address) or address)}

        addresses = list({place.address for place in places})
        parts = [addresses[at : at + LOOKED_FOR] for at in range(0, len(addresses), LOOKED_FOR)]
        return set().union(*await asyncio.gather(*(self.in_thread(look, part) for part in parts)))

    def _known(self, key: str, role: str, product: Product) -> PhotoPlace | None:
        """The photo of this key, where its product has it: by its hash, which its key names."""
        address, named = self.store.address(key), content_digest(key)
        known = bool(named) and any((p.address, p.digest) == (address, named) for p in product.photos)
        return PhotoPlace(address, named, role) if known else None

    async def load(self, stored: Stored) -> Photo:
        """A photo that lies in our store.

        Raises:
            Poison: it is not there any more.
            Retryable: likewise, of one whose host can be asked anew; or the store is away.
        """
        if stored.asked is not None:
            return Photo(stored.place, await self.remote.load(stored.asked), "", field=stored.field)
        key = self.store.key_of(stored.place.address) or stored.place.address
        try:
            return Photo(stored.place, await self.in_thread(self.store.get, key), "")
        except NotFound:
            raise Poison(
                f"the photo {stored.place.address} of the product is not in the store any more: send it again",
                field="image",
                code=Code.NOT_FOUND,
            ) from None

    async def keep(self, photo: Photo) -> PhotoPlace:
        """Put a photo of elsewhere into our store, under the hash of the bytes that are stored, so that every delivery gives
        the same address: the one outside may be gone tomorrow.
        """
        if not photo.suffix:
            return photo.place
        key = await self.in_thread(self.store.put_content, photo.data, suffix=photo.suffix, prefix="images")
        await self.remote.remember(photo.uri, key, photo.place.digest, photo.validators)
        return msgspec.structs.replace(photo.place, address=self.store.address(key))

    async def _photo(self, given: UploadPhoto, field: str, product: Product) -> Photo | Stored:
        """A photo as it is stored; where its host says that it is unchanged, or the product has it, it is not loaded."""
        role = given.role or ""
        if given.bytes is not None:
            return await self._foreign(Photo(PhotoPlace("", "", role), given.bytes, "", field=field))
        uri = given.uri
        if uri is None:
            raise Poison("a photo needs uri or bytes", field=field, code=Code.MISSING_FIELD)
        key = self.store.key_of(uri)
        if key is not None:
            return await self._of_store(key, uri, role, field, product)
        answer = await self.remote.get(uri)
        if isinstance(answer, Kept):
            return Stored(PhotoPlace(self.store.address(answer.key), answer.digest, role), field, answer)
        return await self._foreign(Photo(PhotoPlace("", "", role), answer.data, "", uri, answer.validators, field))

    async def _of_store(self, key: str, uri: str, role: str, field: str, product: Product) -> Photo | Stored:
        address, known = self.store.address(key), self._known(key, role, product)
        if known is not None and await self.in_thread(self.store.exists, key):
            return Stored(known, field)
        data = await self.fetcher.fetch(uri)
        photo = Photo(PhotoPlace(address, "", role), data, "", uri, field=field)
        # A shopper's photo is gone in some hours: a product keeps its own.
        if key.startswith(query_photos.PREFIX) or not await asyncio.to_thread(self._is_clean, data):
            return await self._foreign(photo)
        return replace(photo, place=PhotoPlace(address, hashlib.sha256(data).hexdigest(), role))

    async def _foreign(self, photo: Photo) -> Photo:
        """A photo that is to be kept in our store, without what is not its picture."""
        data, kind = await asyncio.to_thread(self._checked, photo.data)
        place = PhotoPlace("", hashlib.sha256(data).hexdigest(), photo.place.role)
        return Photo(place, data, f".{kind}", photo.uri, photo.validators, photo.field)

    def _is_clean(self, data: bytes) -> bool:
        """Whether a photo in our store may stay there as it is, or has to lose something first."""
        return self.keep_metadata or not _tells_more(data)

    def _checked(self, data: bytes) -> tuple[bytes, str]:
        """The bytes to store, and their format. Only what looks like an image is decoded."""
        header = decode.check_header(data, self.limits)
        return data if self.keep_metadata else image_parts.clean(data), header.format


@contextmanager
def of_field(field: str) -> Iterator[None]:
    """What is wrong with a photo is told of the field that gave it: "images[2].uri"."""
    try:
        yield
    except Poison as error:
        inner = error.field.partition(".")[2] if error.field.partition(".")[0] == "image" else error.field
        named = error.field if field == "image" else f"{field}.{inner}" if inner else field
        raise Poison(error.message, field=named, code=error.code) from error


def _tells_more(data: bytes) -> bool:
    """Whether a photo holds more than its picture; what is no photo does not, and is refused where it is decoded."""
    try:
        return image_parts.clean(data) != data
    except Poison:
        return False
