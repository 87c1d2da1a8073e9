"""What an S3 server's refusal means for us: worth a retry, the object's fault, or a matter of settings.

Only what passes by itself is `Retryable`: network trouble, 5xx, 408, 425, 429 and the codes of `_PASSES`. Everything else of
4xx would be retried for ever: it is `Fatal` where every object would be refused alike (keys, rights, region), else `Poison`.
"""

from __future__ import annotations

from infra.store import NotFound
from processors.errors import Code, Fatal, Poison, Retryable, WeftError

_ABSENT = frozenset({"NoSuchKey", "NoSuchBucket", "ResourceNotFound", "NoSuchVersion"})
_CLASH = frozenset(
    {
        "XMinioParentIsObject",
        "XMinioObjectExistsAsDirectory",
        "ParentIsObject",
        "ObjectParentIsFile",  # versitygw, as are the two below
        "ExistingObjectIsDirectory",
        "DirectoryObjectContainsData",
    }
)
# A store that is full is like a full disk: room can be made, and no upload is at fault.
_FULL = frozenset({"QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "InsufficientStorage", "XMinioStorageFull"})
_PASSES = _FULL | frozenset(
    {
        "SlowDown",
        "SlowDownRead",
        "SlowDownWrite",
        "ServiceUnavailable",
        "InternalError",
        "RequestTimeout",
        "RequestLimitExceeded",
        "TooManyRequests",
        "Throttling",
        "ThrottlingException",
        "BandwidthLimitExceeded",
        "OperationAborted",
        "ConditionalRequestConflict",
        "TemporaryRedirect",  # a bucket that was just made
        # The bytes did not arrive as they were sent.
        "IncompleteBody",
        "BadDigest",
        "XAmzContentSHA256Mismatch",
        "XAmzContentChecksumMismatch",
    }
)
_CLOCK = "RequestTimeTooSkewed"
_OBJECTS_FAULT = frozenset(
    {
        "InvalidObjectState",
        "KeyTooLongError",
        "XMinioInvalidObjectName",
        "InvalidURI",
        "EntityTooLarge",
        "EntityTooSmall",
        "UnavailableForLegalReasons",
        # The key that this object was encrypted with is gone or disabled.
        "KMS.DisabledException",
        "KMS.NotFoundException",
        "KMS.KMSInvalidStateException",
    }
)
_REFUSED = frozenset(
    {
        "AccessDenied",
        "AccountProblem",
        "AllAccessDisabled",
        "AuthorizationHeaderMalformed",
        "ExpiredToken",
        "IllegalLocationConstraintException",
        "InvalidAccessKeyId",
        "InvalidBucketName",
        "InvalidLocationConstraint",
        "InvalidSecurity",
        "InvalidToken",
        "MethodNotAllowed",
        "MissingSecurityHeader",
        "NotImplemented",
        "NotSignedUp",
        "PermanentRedirect",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "TooManyBuckets",
    }
)
_TRY_LATER = frozenset({408, 425, 429})
_WHY = {
    "InvalidObjectState": "it is archived and must be restored first",
    "413": "it is too large for the store",
    "451": "it is withheld for legal reasons",
}
_NOT_OURS = frozenset({401, 403, 405, 407, 501})
"""Statuses that any object would meet: keys, rights, methods that the server lacks."""


def from_code(code: str, status: int, key: str, bucket: str) -> WeftError | NotFound:
    """The error for an S3 error code.

    Args:
        code: of the answer's XML, as "NoSuchKey".
        status: HTTP status; 0 where it is not known.
        key: of the object.
        bucket: for the message.
    """
    if code in _ABSENT:
        return NotFound(key)
    if code == _CLOCK:
        return Fatal(f"the object store refuses us: this machine's clock is wrong ({_CLOCK})")
    if code in _CLASH:
        return Poison(f"the key {key!r} is a folder of another key, or the other way round")
    if code in _PASSES or (code not in _REFUSED | _OBJECTS_FAULT and _may_pass(status)):
        return Retryable(f"the object store answers {code}")
    if code in _OBJECTS_FAULT or (code not in _REFUSED and _is_of_the_object(status)):
        why = _WHY.get(code) or _WHY.get(str(status))
        return Poison(
            f"the object store refuses the object {key!r}: {code}{f' ({why})' if why else ''}", code=Code.UNREACHABLE
        )
    return _refused(code, bucket)


def from_status(status: int | None, key: str, bucket: str) -> WeftError:
    """The error for an answer without an S3 code: a proxy's page, or an answer to HEAD, which has no body.

    A page of somebody else's (404 in HTML) says nothing about our object: it is `Fatal`, for no retry changes the address.
    """
    if status is None or _may_pass(status):
        return Retryable(f"the object store answers HTTP {status}" if status else "the object store answers nonsense")
    if str(status) in _WHY:
        return Poison(
            f"the object store refuses the object {key!r}: HTTP {status} ({_WHY[str(status)]})", code=Code.UNREACHABLE
        )
    return _refused(f"HTTP {status}", bucket)


def _may_pass(status: int) -> bool:
    """0 (not known), success that was no answer, trouble of the server's."""
    return status < 300 or status in _TRY_LATER or (status >= 500 and status not in _NOT_OURS)


def _is_of_the_object(status: int) -> bool:
    return 400 <= status < 500 and status not in _NOT_OURS


def _refused(code: str, bucket: str) -> Fatal:
    return Fatal(f"the object store refuses us: {code} (bucket {bucket!r}); check WEFT_S3_* and WEFT_STORE_URL")
