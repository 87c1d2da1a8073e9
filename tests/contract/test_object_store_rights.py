"""A real S3 server that does not allow everything: keys with an end from its STS, under a policy, by AWS's environment."""

from __future__ import annotations

import json

import pytest
from minio.credentials import AssumeRoleProvider

from infra.s3_store import S3Address, S3Store
from streams.ops.doctor_store import Untrue, try_out
from tests.fixtures.s3_servers import S3Server

pytestmark = pytest.mark.integration

ACTIONS = {"s3:PutObject": "write", "s3:GetObject": "read", "s3:DeleteObject": "delete", "s3:ListBucket": "list"}
BUCKET, OBJECTS = "arn:aws:s3:::rights", "arn:aws:s3:::rights/*"


@pytest.mark.parametrize("s3", ["minio"], indirect=True)  # versitygw has no STS
@pytest.mark.parametrize("lacking", [*ACTIONS, ""])
def test_the_action_that_is_missing_is_named(s3: S3Server, lacking: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a policy grants all but one; with all of them nothing is found, and nothing is left."""
    owner = S3Store(S3Address(s3.endpoint, "rights", secure=False), access_key=s3.access_key, secret_key=s3.secret_key)
    owner.put("there", b"x")
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": [action for action in ACTIONS if action != lacking],
                "Resource": [BUCKET, OBJECTS],
            }
        ],
    }
    keys = AssumeRoleProvider(
        sts_endpoint=f"http://{s3.endpoint}",
        access_key=s3.access_key,
        secret_key=s3.secret_key,
        policy=json.dumps(policy),
        region="us-east-1",
    ).retrieve()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys.secret_key)
    monkeypatch.setenv("AWS_SESSION_TOKEN", str(keys.session_token))
    store = S3Store(S3Address(s3.endpoint, "rights", secure=False))
    if lacking:
        with pytest.raises(Untrue, match=f"does not let this account {ACTIONS[lacking]}: .*AccessDenied") as caught:
            try_out(store, bucket=BUCKET, objects=OBJECTS)
        assert caught.value.advice == f"grant {lacking} on {BUCKET if lacking == 's3:ListBucket' else OBJECTS}"
    else:
        try_out(store, bucket=BUCKET, objects=OBJECTS)
    for key in owner.list("doctor/"):
        owner.delete(key)
    assert list(owner.list()) == ["there"]
