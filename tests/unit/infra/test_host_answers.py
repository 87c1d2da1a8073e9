"""What hosts say beside a body: validators, and when to ask again."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from yarl import URL

from infra.host_answers import (
    LONGEST_PAUSE_S,
    MAX_VALIDATOR,
    HostBusy,
    HostPauses,
    Validators,
    retry_after,
    validators_of,
)

NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 120 ", 120.0),
        ("99999999999999999999", LONGEST_PAUSE_S),
        ("Wed, 25 Nov 2026 12:00:30 GMT", 30.0),
        ("Wed, 25 Nov 2026 12:00:30", 30.0),
        ("Wed, 25 Nov 2026 11:00:00 GMT", 0.0),
        ("Mon, 25 Nov 9999 12:00:30 GMT", LONGEST_PAUSE_S),
        ("", 0.0),
        ("soon", 0.0),
        ("-5", 0.0),
        ("1.5", 0.0),
        ("٣", 0.0),
    ],
)
def test_retry_after_is_a_number_or_a_date(said: str, seconds: float) -> None:
    """RFC 9110, 10.2.3; what says nothing is no pause, and a year is an hour."""
    assert retry_after(said, NOW) == seconds


def test_what_cannot_be_sent_back_is_no_validator() -> None:
    """A host's header goes back to it in a header: nothing with control characters, and nothing endless."""
    assert validators_of({"ETag": 'W/"a"', "Last-Modified": "Wed, 25 Nov 2026 12:00:30 GMT"}) == Validators(
        'W/"a"', "Wed, 25 Nov 2026 12:00:30 GMT"
    )
    assert not validators_of({"ETag": "a" * (MAX_VALIDATOR + 1), "Last-Modified": "x\r\ny"})
    assert not validators_of({})


def test_a_host_that_asked_for_it_is_left_alone_by_everybody_until_the_time_is_over() -> None:
    """Other hosts, and other ports, are asked."""
    now = [100.0]
    pauses = HostPauses(lambda: now[0])
    busy = URL("https://cdn.example/a.jpg")
    pauses.heed(busy, "")
    pauses.check(busy)
    with pytest.raises(HostBusy, match="30 s") as first:
        pauses.heed(busy, "30")
    assert first.value.seconds == 30.0
    now[0] = 110.0
    with pytest.raises(HostBusy) as second:
        pauses.check(URL("https://cdn.example/b.jpg?token=secret"))
    assert second.value.seconds == 20.0
    assert "secret" not in str(second.value)
    pauses.check(URL("https://cdn.example:8443/a.jpg"))
    pauses.check(URL("https://other.example/a.jpg"))
    now[0] = 130.0
    pauses.check(busy)
