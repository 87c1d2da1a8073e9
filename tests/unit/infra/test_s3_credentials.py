"""S3 credentials where AWS's tools look for them, against services on the loopback that answer as AWS's do."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from minio.credentials import Credentials, Provider, StaticProvider

from infra.s3_credentials import Chain, chain, credentials
from infra.settings import Settings
from infra.stores import open_store
from processors.errors import BadSetting, Fatal, Retryable

TOKEN = "eyJhbGciOi.the-web-identity.token"
NOBODY = "http://127.0.0.1:9"
END = "2999-01-01T00:00:00Z"


class Service(BaseHTTPRequestHandler):
    """STS, a container's and a machine's metadata. `server.down`: answers 500 to everything."""

    def _answer(self, status: int, text: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_PUT(self) -> None:
        self._answer(200, "imds-token")

    def do_POST(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        if self.server.down or query["WebIdentityToken"] != [TOKEN]:  # type: ignore[attr-defined]
            self._answer(400, "<ErrorResponse/>")
            return
        assert query["Action"] == ["AssumeRoleWithWebIdentity"]
        self._answer(
            200,
            f"""<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
            <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{query["RoleArn"][0]}</AccessKeyId>
            <SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>{END}</Expiration>
            </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>""",
        )

    def do_GET(self) -> None:
        if self.path == "/latest/meta-data/iam/security-credentials/":
            self._answer(200, "the-role")
            return
        key = {"/container": "CONTAINER"}.get(self.path, "INSTANCE")
        keys = {"AccessKeyId": key, "SecretAccessKey": "s", "Token": "t", "Expiration": END}
        self._answer(200, json.dumps(keys))

    def log_message(self, *_: object) -> None:
        """Silent."""


@contextmanager
def service(*, down: bool = False) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    server.down = down  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the machine that the tests run on."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", NOBODY)


def key() -> str:
    return str(chain(os.environ).retrieve().access_key)


def test_each_source_in_its_turn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The machine's role, a container's, a shared profile, a web identity, the environment: the later the stronger."""
    with service() as url:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)
        assert key() == "INSTANCE"
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{url}/container")
        assert key() == "CONTAINER"
        (tmp_path / ".aws").mkdir()
        (tmp_path / ".aws" / "credentials").write_text(
            "[default]\naws_access_key_id = DEFAULT\naws_secret_access_key = s\n"
            "[shop]\naws_access_key_id = SHOP\naws_secret_access_key = s\naws_session_token = t\n"
        )
        assert key() == "DEFAULT"
        monkeypatch.setenv("AWS_PROFILE", "shop")
        assert key() == "SHOP"
        (tmp_path / "token").write_text(TOKEN)
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/weft")
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
        assert key() == "arn:aws:iam::1:role/weft"
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ENVIRONMENT")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
        assert key() == "ENVIRONMENT"


def test_nowhere_is_told_at_once_and_for_good() -> None:
    """It was retried for ever: nobody is at the address of the metadata outside of Amazon's machines."""
    with pytest.raises(BadSetting, match=r"^WEFT_S3_ACCESS_KEY .* there are no S3 credentials") as caught:
        key()
    for asked in ("the environment", "the profile default", "the machine's role"):
        assert asked in str(caught.value)
    store = open_store(Settings(store_url="s3://bucket", s3_endpoint="127.0.0.1:9", s3_secure=False))
    with pytest.raises(BadSetting, match="there are no S3 credentials"):
        store.get("key")


def test_an_identity_that_is_refused_is_no_reason_to_take_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A pod with a role must not go on with the keys of some profile; and its token is not told."""
    (tmp_path / "token").write_text(TOKEN)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/weft")
    with service(down=True) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
        with pytest.raises(Fatal, match="the web identity gives no S3 credentials") as caught:
            key()
        assert "the-web-identity" not in str(caught.value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", NOBODY)
    with pytest.raises(Retryable, match="the web identity gives no S3 credentials") as away:
        key()
    assert "the-web-identity" not in str(away.value)


class Ending(Provider):  # type: ignore[misc]
    """Has credentials once."""

    def __init__(self) -> None:
        self.left = 1

    def retrieve(self) -> Credentials:
        self.left -= 1
        if self.left < 0:
            raise ValueError("no more")
        return Credentials("A", "s")


def test_a_source_that_had_some_is_waited_for() -> None:
    """A role's keys end after hours: another account's keys behind it must not take over, and the role must not end."""
    ending = Ending()
    both = Chain([("one", lambda: ending), ("two", lambda: StaticProvider("B", "s"))])
    assert both.retrieve().access_key == "A"
    with pytest.raises(Retryable, match="the S3 credentials of one are not renewed: no more"):
        both.retrieve()
    ending.left = 1
    assert both.retrieve().access_key == "A"


def test_two_keys_or_none() -> None:
    """The settings' keys go before the chain; half of them is a mistake, not a wish for the chain."""
    assert credentials("a", "s").retrieve().access_key == "a"
    with pytest.raises(BadSetting, match="only one of the two"):
        credentials("a", "")
