"""Of the subprotocols that a WebSocket's client offers, those that are keys."""

import pytest

from gateway.receivers.websocket_plan import handshake_headers


def _left(offered: bytes, holds_key: bool) -> bytes | None:
    headers = handshake_headers([(b"Sec-WebSocket-Protocol", offered)], False, holds_key)
    return dict(headers).get(b"Sec-WebSocket-Protocol")


@pytest.mark.parametrize(
    "key",
    [
        b"openai-insecure-api-key.sk-client",
        b"api_key.sk-client",
        b"my_token.sk-client",
        b"x~bearer.sk-client",
        b"Authorization.Bearer.sk-client",
    ],
)
def test_a_clients_key_leaves_only_where_the_gateway_holds_none(key: bytes) -> None:
    offered = b"realtime,%b" % key
    assert _left(offered, holds_key=True) == b"realtime"
    assert _left(key, holds_key=True) is None
    assert _left(offered, holds_key=False) == offered


@pytest.mark.parametrize("key", [b"openai-insecure-api-key.sg-secret", b"SG-secret", b"my_token.sg-secret"])
@pytest.mark.parametrize("holds_key", [False, True])
def test_a_gateway_key_never_leaves(key: bytes, holds_key: bool) -> None:
    assert _left(b"%b, realtime" % key, holds_key) == b"realtime"


@pytest.mark.parametrize("offered", [b"msg-v1", b"my-msg-v1,realtime", b"graphql-sg-1", b"graphql_sg-1"])
def test_what_only_looks_like_a_gateway_key_leaves_as_in_other_headers(offered: bytes) -> None:
    assert _left(offered, holds_key=True) == offered
