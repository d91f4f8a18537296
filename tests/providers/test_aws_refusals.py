"""boto3 raises its own exceptions for our refusals, with the right code, before a stream and inside one."""

import asyncio
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from botocore.exceptions import ClientError, EventStreamError

from gateway.contracts import Provider
from gateway.demo.eventstream import event_frame
from gateway.model.exchange import Refusal
from gateway.providers.bedrock_converse import BedrockConverse
from gateway.providers.bedrock_count_tokens import BedrockCountTokens
from gateway.providers.bedrock_invoke import BedrockEmbeddings, BedrockInvoke
from tests.bedrock import bedrock, events_of

ASKED: Any = [{"role": "user", "content": [{"text": "hi"}]}]
STREAM = "application/vnd.amazon.eventstream"


def answering(status: int, body: bytes, content_type: str) -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, body=body, content_type=content_type)

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    return app


def ask_once(client: Any, stream: bool) -> None:
    if stream:
        events_of(client.converse_stream(modelId="m", messages=ASKED)["stream"])
    else:
        client.converse(modelId="m", messages=ASKED)


async def raised(status: int, body: bytes, content_type: str = "application/json", stream: bool = False) -> ClientError:
    def ask(url: str) -> ClientError:
        with bedrock(url) as client:
            with pytest.raises(ClientError) as caught:
                ask_once(client, stream)
            return caught.value

    async with TestServer(answering(status, body, content_type)) as server:
        return await asyncio.to_thread(ask, str(server.make_url("/")))


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "ValidationException"),
        (401, "UnrecognizedClientException"),
        (403, "AccessDeniedException"),
        (404, "ResourceNotFoundException"),
        (410, "ValidationException"),
        (413, "ValidationException"),
        (429, "ThrottlingException"),
        (500, "InternalServerException"),
        (502, "ServiceUnavailableException"),
        (503, "ServiceUnavailableException"),
        (504, "ServiceUnavailableException"),
    ],
)
async def test_a_refusal_raises_what_its_status_means(status: int, code: str) -> None:
    error = await raised(status, BedrockConverse().refusal(Refusal(status, "our_code", "why")))
    assert error.response["Error"] == {"Message": "why", "Code": code}
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == status
    if code not in ("UnrecognizedClientException",):  # one of all of AWS, not of this service
        assert type(error).__name__ == code


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, "validationException"),
        (429, "throttlingException"),
        (500, "internalServerException"),
        (503, "serviceUnavailableException"),
    ],
)
async def test_a_refusal_in_a_stream_raises(status: int, code: str) -> None:
    refusal = Refusal(status, "our_code", "data-protector: remove the “secret” and try again.")
    body = event_frame("messageStart", b'{"role":"assistant"}') + BedrockConverse().stream_refusal(refusal)
    error = await raised(200, body, STREAM, stream=True)
    assert isinstance(error, EventStreamError)
    assert error.response["Error"] == {"Message": refusal.message, "Code": code}


@pytest.mark.parametrize(
    ("provider", "method", "path", "matches"),
    [
        (BedrockConverse(), "POST", "/model/a.b-v1%3A0/converse", True),
        (BedrockConverse(), "POST", "/model/a.b-v1:0/converse-stream", True),
        (BedrockConverse(), "POST", "/model/arn:aws:bedrock:us-east-1:1:inference-profile/us.a.b/converse", True),
        (BedrockConverse(), "GET", "/model/m/converse", False),
        (BedrockConverse(), "POST", "/model/m/invoke", False),
        (BedrockConverse(), "POST", "/model/converse", False),
        (BedrockInvoke(), "POST", "/model/m/invoke", True),
        (BedrockInvoke(), "POST", "/model/m/invoke-with-response-stream", True),
        (BedrockInvoke(), "POST", "/model/m/invoke-with-bidirectional-stream", False),
        (BedrockEmbeddings(), "POST", "/model/amazon.titan-embed-text-v2%3A0/invoke", True),
        (BedrockEmbeddings(), "POST", "/model/m/invoke", False),
        (BedrockCountTokens(), "POST", "/model/m/count-tokens", True),
    ],
)
def test_a_format_knows_its_paths(provider: Provider, method: str, path: str, matches: bool) -> None:
    assert provider.matches(method, path) is matches
