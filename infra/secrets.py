"""Finding credentials in text: passwords, tokens, and what makes an address a signed one. Logs and dead letters use it.

Every pattern takes time linear in the text, because hostile text comes through here as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

MASK = "***"
LONG_VALUE = 24
"""A parameter of an address whose value is this long, and made of what tokens are made of, is taken for a secret."""

_SCHEME = r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]{0,30}:(?:\\?/){2}"
# user:password@ in an address; JSON may write its slashes as \/.
_USERINFO = re.compile(rf"{_SCHEME}(?P<secret>[^\s/?#\"'<>]+)@")
# One parameter of a query; JSON may write & as \u0026 and = as \u003d.
_PARAMETER = re.compile(
    r"(?:[?&;]|\\u0026)(?P<name>[\w.%~-]{1,64})(?:=|%3[dD]|\\u003[dD])"
    r"(?P<secret>(?:(?!\\u0026|;[\w-]{1,64}=)[^&\s\"'<>])+)"
)
_PARAMETER_NAME = re.compile(
    r"(?i)sig|token|secret|passw|pwd|auth|cred|jwt|hmac|session|policy|apikey|accesskey|(?:^|[^a-z])key(?:$|[^a-z])"
)
_TOKEN = re.compile(rf"[\w.~%+/=-]{{{LONG_VALUE},}}")
# password=…, "secret_key": "…", token: '…'.
_SETTING = re.compile(
    r"(?<![\w-])(?P<name>[\w-]{0,40}?(?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|signature"
    r"|credentials?)[\w-]{0,20})(?:\\?[\"'])?\s{0,5}[:=]\s{0,5}"
    r"(?:\\?\"(?P<double>(?:[^\"\\]|\\[^\"])+)|\\?'(?P<single>[^'\r\n]+)|(?P<bare>[^\s,;&\"'<>\\]+))",
    re.IGNORECASE,
)
_SETTING_WORDS = (
    "passw", "secret", "token", "signature", "credential", "apikey", "api_key", "api-key", "accesskey", "access_key",
    "access-key", "pwd=", "pwd:", 'pwd"', "pwd'", "pwd\\", "pwd ",
)  # fmt: skip
_AUTHORIZATION = re.compile(
    r"authorization(?:\\?[\"'])?\s{0,5}[:=]\s{0,5}(?:\\?[\"'])?(?P<secret>[^\r\n\"'\\]+)", re.IGNORECASE
)
_BEARER = re.compile(
    r"\b(?:bearer\s{1,5}(?P<bearer>[A-Za-z0-9._~+/=-]{16,})"
    r"|basic\s{1,5}(?P<basic>(?=[a-z+/]{0,4000}[0-9=])[a-z0-9+/]{12,}={0,2}))",  # not "basic sweatshirts"
    re.IGNORECASE,
)
_CLOUD_KEY = re.compile(r"\b(?P<secret>(?:AKIA|ASIA)[A-Z0-9]{16})\b")
_PATTERNS = (
    (("@",), _USERINFO),
    (("?", "&"), _PARAMETER),
    (("akia", "asia"), _CLOUD_KEY),
    (("authorization",), _AUTHORIZATION),
    (_SETTING_WORDS, _SETTING),
    (("bearer ", "basic "), _BEARER),
)
_SECRET_NAME = re.compile(
    r"(?i)password|passwd|(^|[_.-])(secret(_key)?|token|api_?key|access_?key|authorization|credentials?|signature"
    r"|cookie)$"
)


def names_a_secret(name: str) -> bool:
    """Whether a field or header of this name holds a credential. `token` is one, `tokens` is a count."""
    return _SECRET_NAME.search(name) is not None


def redacted(text: str, mask: str = MASK) -> str:
    """`text` with every credential replaced by `mask`; what is no secret stays readable."""
    parts: list[str] = []
    at = 0
    for start, end in _found(text):
        parts += (text[at:start], mask)
        at = end
    return "".join((*parts, text[at:]))


def blanked(data: bytes) -> bytes:
    """`data` with every byte of a credential replaced by `*`.

    The length stays, so that JSON and MessagePack remain what they are. Data without credentials is returned as it is.
    """
    text = data.decode("latin-1")
    found = _found(text)
    if not found:
        return data
    blank = bytearray(data)
    for start, end in found:
        blank[start:end] = b"*" * (end - start)
    return bytes(blank)


def _found(text: str) -> list[tuple[int, int]]:
    """Where the credentials stand: (start, end), in order, not overlapping."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(_spans(text)):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _spans(text: str) -> Iterator[tuple[int, int]]:
    # The words are looked for first: a photo in base64 has none of them, and is megabytes of text.
    lower = text.lower()
    for words, pattern in _PATTERNS:
        if any(word in lower for word in words):
            for match in pattern.finditer(text):
                if _counts(match):
                    yield match.span(match.lastgroup or 0)


def _counts(match: re.Match[str]) -> bool:
    """Whether what a pattern found is a secret, and not a size or a count."""
    if match.re is _PARAMETER:
        return bool(_PARAMETER_NAME.search(match["name"]) or _TOKEN.fullmatch(match["secret"]))
    if match.re is _SETTING:
        return not (match["name"].lower().endswith("tokens") and match[match.lastgroup or 0].isdigit())
    return True
