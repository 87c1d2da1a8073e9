"""Fetch the bytes of an image from its address: the object store, an allowed folder, or an allowed https host."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

import aiohttp
from yarl import URL

from infra.addresses import (
    CheckedResolver,
    ForbiddenAddress,
    is_public_address,
    literal_address,
    url_as_written,
)
from infra.host_answers import NO_VALIDATORS, Fetched, HostPauses, Unchanged, Validators, validators_of
from infra.settings import Settings
from infra.store import NotFound, ObjectStore
from infra.threads import InThread
from processors.errors import Code, Poison, Retryable
from processors.image_header import is_web_page

_FIELD = "image.uri"
_REDIRECTS = 3
_CHUNK = 64 * 1024
_MOVED = frozenset({301, 302, 303, 307, 308})
_NOT_MODIFIED = 304
_LATER = frozenset({408, 425, 429})
_GONE = frozenset({404, 410})
# What a path itself is at fault for; any other trouble with a file is the disk's, and passes.
_ITS_OWN_FAULT = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO}
    | {errno.EINVAL, errno.EILSEQ, errno.ENODEV}
)


class Fetcher:
    """Reads images for the roles. `Poison` when the address is at fault, `Retryable` when the network or a server is.

    An address comes from whoever may write to a topic, so it is hostile: a host must be on the list of allowed ones
    (`settings.allowed_hosts`: `host`, `host:port`, `*.domain`), every address that DNS gives for it must be public,
    and the connection goes to exactly the address that was checked; the same for each redirect. A file must lie, its
    links followed, under one of `settings.file_roots`. An address is asked as it is written. Errors never show the query of an address: it may hold a token.

    Args:
        settings: allowed hosts and folders, the size limit and the time limit.
        store: the object store whose own addresses are read directly.
        is_allowed_address: tells of an IP address (text) whether one may connect to it.
        schemes: of remote addresses.
        resolver: DNS, before the check of its answers; None: the system's.
        in_thread: runs what waits for the store or a disk.
        now: seconds, monotonic: how long a host is left alone that asked for it.
    """

    def __init__(
        self,
        settings: Settings,
        store: ObjectStore,
        *,
        is_allowed_address: Callable[[str], bool] = is_public_address,
        schemes: Collection[str] = ("https",),
        resolver: aiohttp.abc.AbstractResolver | None = None,
        in_thread: InThread = asyncio.to_thread,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._in_thread = in_thread
        self._pauses = HostPauses(now)
        self._hosts = tuple(host.lower().rstrip(".") for host in settings.allowed_hosts)
        self._roots = settings.file_roots
        self._limit = settings.max_image_bytes
        self._seconds = settings.fetch_seconds
        self._is_allowed = is_allowed_address
        self._schemes = frozenset(schemes)
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections. Safe to call twice."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def fetch(self, uri: str) -> bytes:
        """The bytes at `uri`, at most `settings.max_image_bytes` of them.

        Raises:
            Poison: not an allowed address, nothing there, or too large; `field` is `image.uri`.
            Retryable: the store, the disk or the remote host is in trouble, or it took longer than `fetch_seconds`.
            HostBusy: a `Retryable`; nothing was asked, or the host said when to ask again.
        """
        answer = await self.ask(uri, NO_VALIDATORS)
        assert isinstance(answer, Fetched)  # `_request` gives no other where nothing was known
        return answer.data

    async def ask(self, uri: str, known: Validators) -> Fetched | Unchanged:
        """As `fetch`; of a host, only if its body is another one than that of which `known` is known."""
        key = self._store.key_of(uri)
        if key is not None:
            return Fetched(await self._in_thread(self._from_store, key))
        try:
            scheme = urlsplit(uri).scheme.lower()
        except ValueError:
            raise Poison("is not a valid address", field=_FIELD, code=Code.ADDRESS_REFUSED) from None
        if scheme == "file":
            return Fetched(await self._in_thread(read_file, uri, self._roots, self._limit))
        if scheme in self._schemes:
            return await self._from_host(uri, known)
        if scheme == "s3":
            raise Poison("is not in the object store of this stack", field=_FIELD, code=Code.NOT_FOUND)
        if not scheme:
            raise Poison("is neither an address nor a key of the object store", field=_FIELD, code=Code.ADDRESS_REFUSED)
        raise Poison(
            f"the kind {scheme[:20]!r} of address is not allowed; use https, s3 or file",
            field=_FIELD,
            code=Code.ADDRESS_REFUSED,
        )

    def _from_store(self, key: str) -> bytes:
        try:
            return self._store.get(key, limit=self._limit)
        except NotFound:
            raise Poison(f"no object {key!r} in the object store", field=_FIELD, code=Code.NOT_FOUND) from None
        except Poison as error:
            raise Poison(str(error), field=_FIELD, code=error.code) from None

    # ------------------------------------------------------------------ remote hosts

    async def _from_host(self, uri: str, known: Validators) -> Fetched | Unchanged:
        url = _parsed(uri)
        try:
            async with asyncio.timeout(self._seconds):
                for _ in range(_REDIRECTS + 1):
                    self._check(url)
                    self._pauses.check(url)
                    answer = await self._request(url, known)
                    if not isinstance(answer, URL):
                        return answer
                    url = answer
        except TimeoutError:
            raise Retryable(f"{_shown(url)} did not answer in full within {self._seconds:g} s") from None
        except ForbiddenAddress as error:
            raise Poison(str(error), field=_FIELD, code=Code.ADDRESS_REFUSED) from None
        except aiohttp.InvalidURL:
            raise Poison("is not a valid address", field=_FIELD, code=Code.ADDRESS_REFUSED) from None
        except (aiohttp.ClientError, OSError) as error:
            # The chain is cut: aiohttp's errors show the whole address.
            raise Retryable(f"{_shown(url)} cannot be read ({type(error).__name__})") from None
        raise Poison(f"more than {_REDIRECTS} redirects", field=_FIELD, code=Code.UNREACHABLE)

    def _check(self, url: URL) -> None:
        host = (url.raw_host or "").lower().rstrip(".")
        if url.scheme not in self._schemes:
            raise Poison(
                f"leads to {url.scheme or 'no'}:// instead of {'/'.join(sorted(self._schemes))}",
                field=_FIELD,
                code=Code.ADDRESS_REFUSED,
            )
        if url.raw_user is not None or url.raw_password is not None:
            raise Poison("must not hold a user name or a password", field=_FIELD, code=Code.ADDRESS_REFUSED)
        if not any(_matches(host, url.port, url.is_default_port(), allowed) for allowed in self._hosts):
            raise Poison(
                f"the host {host[:100]!r} is not on the list of allowed hosts", field=_FIELD, code=Code.HOST_NOT_ALLOWED
            )
        # A literal address is never looked up, so the resolver would not see it.
        address = literal_address(host)
        if address is not None and not self._is_allowed(address):
            raise ForbiddenAddress(host)

    async def _request(self, url: URL, known: Validators) -> Fetched | Unchanged | URL:
        """One request: the body, or where it was redirected to."""
        asking = {"If-None-Match": known.etag, "If-Modified-Since": known.last_modified}
        headers = {name: value for name, value in asking.items() if value}
        async with self._client().get(url, allow_redirects=False, headers=headers) as response:
            if response.status in _MOVED:
                return _redirected(url, response.headers.get("Location", ""))
            if response.status == _NOT_MODIFIED and known:
                return Unchanged()
            if response.status in _LATER or response.status >= 500:
                self._pauses.heed(url, response.headers.get("Retry-After", ""))
                raise Retryable(f"{_shown(url)} answers HTTP {response.status}")
            if response.status != 200:
                gone = Code.NOT_FOUND if response.status in _GONE else Code.UNREACHABLE
                raise Poison(f"{_shown(url)} answers HTTP {response.status}", field=_FIELD, code=gone)
            if response.headers.get("Content-Encoding", "identity").lower() not in {"", "identity"}:
                raise Poison(
                    f"{_shown(url)} answers with a compressed body that was not asked for",
                    field=_FIELD,
                    code=Code.UNREACHABLE,
                )
            body = await self._body(response, url)
            if is_web_page(body):
                raise Poison(
                    f"the address answered with a web page instead of an image ({_shown(url)})",
                    field=_FIELD,
                    code=Code.BAD_IMAGE,
                )
            return Fetched(body, validators_of(response.headers))

    async def _body(self, response: aiohttp.ClientResponse, url: URL) -> bytes:
        too_large = Poison(f"{_shown(url)} is larger than {self._limit} bytes", field=_FIELD, code=Code.OUT_OF_RANGE)
        if (response.content_length or 0) > self._limit:
            raise too_large
        body = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK):
            body += chunk
            if len(body) > self._limit:
                raise too_large
        return bytes(body)

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                resolver=CheckedResolver(self._is_allowed, self._resolver or aiohttp.ThreadedResolver()),
                use_dns_cache=False,  # the answer that was checked is the one that is connected to
                limit=64,
                limit_per_host=16,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._seconds, sock_read=self._seconds),
                headers={"User-Agent": "weft", "Accept": "image/*", "Accept-Encoding": "identity"},
                auto_decompress=False,  # a small answer must not unfold into a large one
                trust_env=False,  # a proxy would connect where we did not check
            )
        return self._session


def read_file(uri: str, roots: Iterable[Path], limit: int) -> bytes:
    """The bytes of a `file://` address whose file, links followed, lies under one of `roots`.

    Raises:
        Poison: it does not, is no regular file, is not there, may not be read, or is larger than `limit` bytes.
        Retryable: the disk is in trouble.
    """
    parts = urlsplit(uri)
    if parts.netloc not in {"", "localhost"} or "\0" in unquote(parts.path):
        raise Poison("is not a file of this machine", field=_FIELD, code=Code.ADDRESS_REFUSED)
    try:
        path = Path(unquote(parts.path)).resolve()
        allowed = any(path.is_relative_to(root.resolve()) for root in roots)
    except (OSError, RuntimeError):  # a loop of links, a name that no file system takes
        raise Poison("the file cannot be read: no such path", field=_FIELD, code=Code.NOT_FOUND) from None
    # Before the file is looked for: whether a file outside exists is nobody's business.
    if not allowed:
        raise Poison(
            "the file is under none of the allowed folders (WEFT_FILE_ROOTS)",
            field=_FIELD,
            code=Code.FOLDER_NOT_ALLOWED,
        )
    # No link: the path was resolved above.
    return read_regular(path, limit, field=_FIELD, follow=False)


def read_regular(path: Path, limit: int, *, field: str, follow: bool = True) -> bytes:
    """The bytes of a regular file.

    Args:
        path: of the file.
        limit: most bytes that are read.
        field: named in the error.
        follow: whether `path` may be a link.

    Raises:
        Poison: no regular file (a pipe would wait for ever, a device never end), not there, may not be read, or too large.
        Retryable: the disk is in trouble.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Poison("is not a regular file", field=field, code=Code.NOT_FOUND)
            data = file.read(limit + 1)
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or "no such path"
        if isinstance(error, OSError) and error.errno not in _ITS_OWN_FAULT:
            raise Retryable(f"the file cannot be read: {cause}") from None
        raise Poison(f"the file cannot be read: {cause}", field=field, code=Code.NOT_FOUND) from None
    if len(data) > limit:
        raise Poison(f"the file is larger than {limit} bytes", field=field, code=Code.OUT_OF_RANGE)
    return data


def _parsed(uri: str) -> URL:
    try:
        return url_as_written(uri)
    except ValueError:
        raise Poison("is not a valid address", field=_FIELD, code=Code.ADDRESS_REFUSED) from None


def _redirected(url: URL, location: str) -> URL:
    if not location:
        raise Poison(f"{_shown(url)} redirects to nowhere", field=_FIELD, code=Code.UNREACHABLE)
    if location.startswith("/") and not location.startswith("//"):
        location = f"{url.scheme}://{url.raw_authority}{location}"  # to join them would rewrite the path
    return url.join(_parsed(location))


def _matches(host: str, port: int | None, is_default: bool, allowed: str) -> bool:
    """Whether an entry of the list (`host`, `host:port`, `*.domain`, `[v6]:port`) allows this host and port."""
    name, colon, number = allowed.rpartition(":")
    if colon and number.isdigit() and not (":" in name and not name.endswith("]")):
        if port != int(number):
            return False
    else:
        name = allowed
        if not is_default:
            return False
    name = name.strip("[]")
    return host.endswith(name[1:]) if name.startswith("*.") else host == name


def _shown(url: URL) -> str:
    """The address for an error: without user, query and fragment, at most 200 characters."""
    return str(url.with_user(None).with_query(None).with_fragment(None))[:200]
