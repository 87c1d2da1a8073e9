"""The settings: frozen, from the environment, documented."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from infra.settings import Settings
from infra.settings_page import PAGE, main, page


def test_the_page_of_settings_is_current() -> None:
    """docs/settings.md is what the code says; `python -m infra.settings` writes it."""
    assert PAGE.read_text("utf-8") == page()
    assert main(["--check"]) == 0


def test_every_setting_is_documented() -> None:
    """Each field has a sentence and a row; no default of a secret and no home folder of the author is shown."""
    text = page()
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert f"| `WEFT_{name.upper()}` |" in text
    assert str(Path.home()) not in text
    assert "***" not in text


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text, numbers, lists and secrets come from WEFT_* variables."""
    monkeypatch.setenv("WEFT_PARTITIONS", "3")
    monkeypatch.setenv("WEFT_ALLOWED_HOSTS", '["a.test"]')
    monkeypatch.setenv("WEFT_FILE_ROOTS", '["/photos"]')
    monkeypatch.setenv("WEFT_S3_SECRET_KEY", "hunter2")
    settings = Settings()
    assert (settings.partitions, settings.allowed_hosts, settings.file_roots) == (3, ("a.test",), (Path("/photos"),))
    assert settings.s3_secret_key.get_secret_value() == "hunter2"
    assert "hunter2" not in repr(settings)


def test_settings_are_frozen_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody changes them on the way; a number that is none is refused by name."""
    with pytest.raises(ValidationError, match="frozen"):
        Settings().partitions = 1  # type: ignore[misc]
    monkeypatch.setenv("WEFT_PARTITIONS", "many")
    with pytest.raises(ValidationError, match="partitions"):
        Settings()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        ("KAFKA_SECURITY_PROTOCOL", "TLS"),
        ("PARTITIONS", "0"),
        ("FETCH_SECONDS", "0"),
        ("DEVICE", "tpu"),
        ("UPLOADS_RETENTION_DAYS", "0"),
        ("DEAD_LETTERS_RETENTION_DAYS", "-7"),
        ("UPLOADS_RETENTION_DAYS", "nan"),
        ("KAFKA_REPLICATION_FACTOR", "0"),
        ("KAFKA_MIN_INSYNC_REPLICAS", "0"),
        ("QUERY_PHOTO_HOURS", "0"),
        ("EDIT_HOURS", "0"),
        ("THREADS", "100000"),
        ("METRICS_HOST", " "),
        ("METRICS_HOST", "http://0.0.0.0"),
        ("METRICS_HOST", "0.0.0.0:9100"),
        ("S3_ENDPOINT", "http://127.0.0.1:9000"),
        ("S3_ENDPOINT", "127.0.0.1:9000/bucket"),
        ("KAFKA_OAUTH_TOKEN_URL", "sso.example"),
        ("ALLOWED_HOSTS", '["https://cdn.example"]'),
        ("ALLOWED_HOSTS", '["cdn.example/photos"]'),
        ("ALLOWED_HOSTS", '["*"]'),
        ("ALLOWED_HOSTS", '[""]'),
        ("FILE_ROOTS", '[""]'),
    ],
)
def test_a_value_that_means_nothing_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    """A misspelt choice would otherwise work as some other one in silence."""
    monkeypatch.setenv(f"WEFT_{variable}", value)
    with pytest.raises(ValidationError, match=variable.lower()):
        Settings()


NUMBERS = sorted(name for name, field in Settings.model_fields.items() if field.annotation in (int, float))


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e400", "1e18", "9" * 20, "-2", "many", " "])
def test_a_number_has_a_beginning_and_an_end(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """A stall that is never told, a timer that never fires, 64 bits that overflow at the first record: told at the start."""
    monkeypatch.setenv(f"WEFT_{name.upper()}", value)
    with pytest.raises(ValidationError, match=name):
        Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("metrics_host", "::"),
        ("metrics_host", "fe80::1%eth0"),
        ("metrics_host", "localhost"),
        ("s3_endpoint", "minio_1:9000"),
        ("s3_endpoint", "[::1]:9000"),
        ("s3_endpoint", "s3.eu-west-1.amazonaws.com"),
        ("allowed_hosts", ("*.cdn.test:8443", "bücher.example", "127.0.0.1")),
        ("stall_seconds", 1e6),
        ("batch_wait_ms", 0),
        ("uploads_retention_days", 0.5),
    ],
)
def test_what_works_is_taken(name: str, value: object) -> None:
    """The forms of hosts and numbers that stacks are run with."""
    assert getattr(Settings(**{name: value}), name) == value


def test_an_empty_variable_is_like_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose files pass empty variables: an empty path is not the current folder, an empty number no error."""
    monkeypatch.setenv("WEFT_KAFKA_JARS", "")
    monkeypatch.setenv("WEFT_PARTITIONS", "")
    monkeypatch.setenv("WEFT_THREADS", "")
    assert (Settings().kafka_jars, Settings().partitions) == (None, 12)
    assert not Settings().model_fields_set


def test_the_store_is_in_the_data_dir_by_default(tmp_path: Path) -> None:
    """Without WEFT_STORE_URL the store is a folder of the data dir, as an absolute address."""
    assert Settings(data_dir=tmp_path / "a b").resolved_store_url == (tmp_path / "a b" / "store").as_uri()
    assert Settings(store_url="s3://bucket").resolved_store_url == "s3://bucket"
