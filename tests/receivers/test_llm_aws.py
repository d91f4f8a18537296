"""Whose credential goes to Bedrock, and that no part of another one does."""

import pytest

from gateway.receivers.llm import LlmReceiver
from tests.receivers.conftest import HELD_KEY, MakeReceiver, head_of

SIGNED = [
    ("Authorization", "AWS4-HMAC-SHA256 Credential=AKID/20261125/us-east-1/bedrock/aws4_request, Signature=0"),
    ("X-Amz-Date", "20261125T000000Z"),
    ("X-Amz-Security-Token", "session"),
    ("x-amz-content-sha256", "0"),
]
PATH = "/model/m/converse"
KEYS = {"access_key_id": "AKIDGATEWAY", "secret_access_key": "gateway-secret"}


@pytest.fixture
def receiver(make_receiver: MakeReceiver) -> LlmReceiver:
    providers = {
        "bedrock": {"base_url": "https://bedrock-runtime.us-east-1.amazonaws.com"},
        "held": {"api": "bedrock", "base_url": "http://h", "api_key": HELD_KEY},
        "signing": {"api": "bedrock", "aws": {"region": "us-east-1"} | KEYS},
    }
    return make_receiver(providers=providers, default_provider="bedrock")


def test_bedrock_is_told_by_path(receiver: LlmReceiver) -> None:
    plan = receiver.open(head_of(PATH, ("Host", "gw"), ("Authorization", "Bearer k")))
    assert plan.forward == [(b"Host", b"bedrock-runtime.us-east-1.amazonaws.com"), (b"Authorization", b"Bearer k")]
    assert (plan.refusal, plan.sign) == (None, None)


@pytest.mark.parametrize("scheme", ["AWS4-HMAC-SHA256", "aws4-hmac-sha256", "AWS4-ECDSA-P256-SHA256"])
def test_a_signature_without_anything_to_sign_with_is_refused(receiver: LlmReceiver, scheme: str) -> None:
    plan = receiver.open(head_of(PATH, ("Authorization", f"{scheme} Credential=…".encode().decode("latin-1"))))
    assert plan.refusal is not None
    assert (plan.refusal.status, plan.refusal.code) == (401, "unauthorized")
    assert "AWS_BEARER_TOKEN_BEDROCK" in plan.refusal.message


def test_beside_a_held_key_nothing_of_a_signature_goes(make_receiver: MakeReceiver) -> None:
    held = {"api": "bedrock", "base_url": "http://h", "api_key": HELD_KEY}
    for propagate in (False, True):
        receiver = make_receiver(providers={"held": held}, default_provider="held", propagate=propagate)
        plan = receiver.open(head_of("/held" + PATH, ("Host", "gw"), *SIGNED, ("x-amzn-bedrock-trace", "ENABLED")))
        names = [name for name, _ in plan.forward if name != b"traceparent"]
        assert names == [b"Host", b"x-amzn-bedrock-trace", b"Authorization"]
        assert (b"Authorization", f"Bearer {HELD_KEY}".encode()) in plan.forward
        assert (plan.refusal, plan.sign) == (None, None)


@pytest.mark.parametrize("headers", [[], SIGNED, [("x-spangate-key", "sg-1")], [("Authorization", "Bearer sg-1")]])
def test_what_has_no_api_key_is_signed(receiver: LlmReceiver, headers: list[tuple[str, str]]) -> None:
    plan = receiver.open(head_of("/signing" + PATH, *headers))
    assert (plan.refusal, plan.sign is None) == (None, False)
    assert b"sg-1" not in b"".join(value for _, value in plan.forward)


def test_a_clients_own_api_key_passes_where_the_gateway_could_sign(receiver: LlmReceiver) -> None:
    plan = receiver.open(head_of("/signing" + PATH, ("Authorization", "Bearer own")))
    assert plan.sign is None
    assert (b"Authorization", b"Bearer own") in plan.forward


async def test_one_signature_replaces_the_other(receiver: LlmReceiver) -> None:
    headers = [*SIGNED, ("Via", "1.1 proxy"), ("X-Forwarded-For", "10.0.0.1"), ("Forwarded", "for=x"), ("X-Kept", "1")]
    plan = receiver.open(head_of("/signing" + PATH, ("Host", "gw"), *headers))
    assert plan.sign is not None
    signed = await plan.sign("POST", plan.target, plan.forward, b"{}")
    assert isinstance(signed, list)
    assert [name for name, _ in signed] == [b"Host", b"X-Kept", b"X-Amz-Date", b"Authorization"]
    assert dict(signed)[b"Authorization"].startswith(b"AWS4-HMAC-SHA256 Credential=AKIDGATEWAY/")
    assert b"SignedHeaders=host;x-amz-date," in dict(signed)[b"Authorization"]


def test_no_key_shows_itself(receiver: LlmReceiver) -> None:
    plan = receiver.open(head_of("/signing" + PATH))
    assert "gateway-secret" not in repr(plan) + repr(plan.sign)


PRESIGNED = (
    f"{PATH}?a=1&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AK%2F1&X-Amz-Security-Token=tok&X-Amz-Signature=ab"
)


@pytest.mark.parametrize("provider", ["held", "signing"])
def test_a_signature_in_the_query_is_replaced_and_never_stored(receiver: LlmReceiver, provider: str) -> None:
    plan = receiver.open(head_of(f"/{provider}{PRESIGNED}"))
    assert plan.target == f"{PATH}?a=1".encode()
    assert (plan.refusal, plan.sign is None) == (None, provider == "held")
    assert plan.exchange is not None
    assert plan.exchange.target.endswith("X-Amz-Credential=***&X-Amz-Security-Token=***&X-Amz-Signature=***")


def test_a_signature_in_the_query_without_anything_to_sign_with_is_refused(receiver: LlmReceiver) -> None:
    plan = receiver.open(head_of(PRESIGNED))
    assert plan.refusal is not None
    assert plan.refusal.status == 401
