"""The three kinds of trouble. The class says what to do; nothing else is ever caught by a stage."""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """Why something is refused, for programs: in the errors of results and in dead letters (docs/events.md).

    Programs may rely on these words; a sentence for people stands beside each. New ones may come.
    """

    MALFORMED = "malformed"  # no record of its topic: no JSON or MessagePack, not UTF-8, nested too deeply
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    OUT_OF_RANGE = "out_of_range"  # a value, a text, a photo or a record outside its limits
    WRONG_KEY = "wrong_key"  # the record's key is missing, or is of another product than its value
    UNKNOWN_NAME = "unknown_name"  # a facet, a topic or a partition that does not exist
    EMPTY_QUERY = "empty_query"  # asks for nothing
    UNKNOWN_PRODUCT = "unknown_product"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    BAD_IMAGE = "bad_image"  # no image, or one that cannot be decoded; of a query: any fault of its photo
    ADDRESS_REFUSED = "address_refused"  # never read: private, with a password, of an unknown scheme
    HOST_NOT_ALLOWED = "host_not_allowed"  # WEFT_ALLOWED_HOSTS
    FOLDER_NOT_ALLOWED = "folder_not_allowed"  # WEFT_FILE_ROOTS
    NOT_FOUND = "not_found"  # nothing lies at the address
    UNREACHABLE = "unreachable"  # the address did not answer, or refused us, however often it was asked
    WRONG_ENCODER = "wrong_encoder"  # vectors of other weights than the index holds
    LOST = "lost"  # records that were deleted before they were read
    SUPERSEDED = "superseded"  # a newer record of the same product has taken its place
    INTERNAL = "internal"  # an error that nobody foresaw, of Weft or of a library
    NO_GARMENT = "no_garment"  # of an edit: the photo shows none that the words may mean, or there is no look for it
    CONSENT_NEEDED = "consent_needed"  # of an edit: who is to be seen on the photo has not agreed
    REFUSED_WORDS = "refused_words"  # of an edit: nudity, or the likeness of a real person
    CANCELLED = "cancelled"  # of an edit: a null record under its key took it back
    INVALID = "invalid"  # anything else that is wrong with an input


RESULT_CODES: tuple[Code, ...] = (
    Code.MALFORMED,
    Code.MISSING_FIELD,
    Code.WRONG_TYPE,
    Code.OUT_OF_RANGE,
    Code.UNKNOWN_NAME,
    Code.EMPTY_QUERY,
    Code.BAD_IMAGE,
    Code.UNKNOWN_PRODUCT,
    Code.DEADLINE_EXCEEDED,
    Code.INTERNAL,
    Code.INVALID,
)
"""Those that the error or a warning of a `Result` may have."""

EDIT_CODES: tuple[Code, ...] = (
    *RESULT_CODES,
    Code.NO_GARMENT,
    Code.CONSENT_NEEDED,
    Code.REFUSED_WORDS,
    Code.CANCELLED,
)
"""Those that the error of an `EditResult` may have."""


class WeftError(Exception):
    """Base of every error that Weft raises on purpose."""


class Retryable(WeftError):
    """Not the item's fault (store down, broker away, out of memory): retry with back-off, pause the partition."""


class Poison(WeftError):
    """The item itself can never succeed. It goes to the dead letters with `field` and the cause.

    Args:
        message: what is wrong, in words a person at night understands; never holds credentials or signed URLs.
        field: the field of the record that is at fault ("image.uri"), or "" when no single one is.
        code: the kind of fault, for programs.
    """

    def __init__(self, message: str, *, field: str = "", code: Code = Code.INVALID) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.message = message
        self.field = field
        self.code = code


class Fatal(WeftError):
    """The process cannot go on (wrong settings, broken weights, fenced): exit, and let the supervisor start it again."""


class BadSetting(Fatal):
    """A setting with which nothing can work: to start again does not help. The sentence begins with its name."""


class Missing(Fatal):
    """Weights that nobody has fetched yet: to start again does not help, the sentence says what does."""
