"""Credentials that have to be looked up are, beside the loop, once for all that wait."""

import asyncio
import os
from pathlib import Path

import pytest

from gateway.model.exchange import Refusal
from gateway.proxy.handler import Origin
from gateway.receivers.aws import AwsSigner
from gateway.receivers.aws_config import AwsConfig

GIVEN = '{"Version": 1, "AccessKeyId": "AKIDPROCESS", "SecretAccessKey": "secret"}'
SENT = ("POST", b"/model/m/converse", [(b"Host", b"h")], b"{}")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where botocore finds a profile whose credentials come from a command that waits for the test."""
    os.mkfifo(tmp_path / "gate")
    command = f"sh -c 'echo once >> {tmp_path}/runs; cat {tmp_path}/gate'"
    (tmp_path / "config").write_text(f"[profile slow]\ncredential_process = {command}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    return tmp_path


def signer(profile: str) -> AwsSigner:
    return AwsSigner("bedrock", AwsConfig(region="us-east-1", profile=profile), "us-east-1", Origin("h", 80))


async def test_one_look_up_serves_all_that_wait_and_the_loop_goes_on(folder: Path) -> None:
    sign = signer("slow")
    waiting = [asyncio.create_task(sign(*SENT)) for _ in range(5)]
    await asyncio.sleep(0)
    waiting[0].cancel()  # its client went
    async with asyncio.timeout(30):
        await asyncio.to_thread((folder / "gate").write_text, GIVEN)  # returns once the command waits for it
        signed = [await task for task in waiting[1:]]
        signed.append(await sign(*SENT))
    for headers in signed:
        assert isinstance(headers, list)
        assert b"Credential=AKIDPROCESS/" in dict(headers)[b"Authorization"]
    assert (folder / "runs").read_text() == "once\n"


async def test_a_profile_that_is_not_there_is_a_refusal_and_asked_for_again(folder: Path) -> None:
    sign = signer("missing")
    for _ in range(2):
        refused = await sign(*SENT)
        assert isinstance(refused, Refusal)
        assert (refused.status, refused.code) == (503, "upstream_unreachable")
    (folder / "config").write_text("[profile missing]\naws_access_key_id = AKIDLATE\naws_secret_access_key = s\n")
    headers = await sign(*SENT)
    assert isinstance(headers, list)
    assert b"Credential=AKIDLATE/" in dict(headers)[b"Authorization"]
