"""boto3 through the real gateway: signed anew or with an API key, it notices nothing, and the gateway everything."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from botocore.exceptions import ClientError, EventStreamError

from gateway.demo.model import BuiltinModel
from tests.bedrock import KEY, SECRET, bedrock, events_of
from tests.demo.rawhttp import post, split, unchunked
from tests.e2e.gateway_process import Gateway
from tests.sigv4 import is_signed_with, scope_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

ARN = "arn:aws:bedrock:us-west-2:111122223333:inference-profile/us.anthropic.claude"
HELLO: Any = [{"role": "user", "content": [{"text": "Hello there"}]}]
SCHEMA: Any = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS: Any = {"tools": [{"toolSpec": {"name": "weather", "inputSchema": {"json": SCHEMA}}}]}
NATIVE = json.dumps(
    {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]}
)
CORRUPT = Path(__file__).parents[1] / "data" / "bedrock_converse" / "corrupt" / "response.eventstream"
GATEWAY_KEY, GATEWAY_SECRET, GATEWAY_TOKEN = "AKIDGATEWAY", "the-gateways-own/secret+", "the-gateways-session-token"
ROLE_KEY, ROLE_SECRET = "AKIDROLE", "of-the-gateways-surroundings"
HELD = "bedrock-api-key-held"
CAPTURE_MAX = 256 * 1024


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def odd_upstream() -> AsyncIterator[str]:
    """Answers every call with a stream in which one frame's checksum is wrong."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=CORRUPT.read_bytes(), content_type="application/vnd.amazon.eventstream")

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("/"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(
    model: BuiltinModel, odd_upstream: str, tmp_path_factory: pytest.TempPathFactory, codeword: str
) -> AsyncIterator[Gateway]:
    """One provider for each way to get past AWS's door."""
    folder = tmp_path_factory.mktemp("bedrock")
    policy = folder / "guard.yaml"
    policy.write_text(f"{{agent: guard, role: enforcer, detect: {{names: {{keywords: [{codeword}]}}}}, intent: block}}")
    written = {
        "region": "us-west-2",
        "access_key_id": "${env:GATEWAY_KEY}",
        "secret_access_key": "${env:GATEWAY_SECRET}",
        "session_token": "${env:GATEWAY_TOKEN}",
    }
    providers = {
        "bedrock": {"base_url": model.url},
        "signing": {"api": "bedrock", "base_url": model.url, "aws": written},
        "role": {"api": "bedrock", "base_url": model.url, "aws": {"region": "eu-west-1"}},
        "nobody": {"api": "bedrock", "base_url": model.url, "aws": {"region": "eu-west-1", "profile": "missing"}},
        "held": {"api": "bedrock", "base_url": model.url, "api_key": HELD},
        "odd": {"api": "bedrock", "base_url": odd_upstream},
    }
    config = {
        "receivers": {"llm": {"providers": providers, "capture_max": CAPTURE_MAX}},
        "processors": {"policy": {"files": [str(policy)]}},
        "service": {"pipelines": {"traces": {"processors": ["session", "policy"]}}},
    }
    environ = {
        "GATEWAY_KEY": GATEWAY_KEY,
        "GATEWAY_SECRET": GATEWAY_SECRET,
        "GATEWAY_TOKEN": GATEWAY_TOKEN,
        "AWS_ACCESS_KEY_ID": ROLE_KEY,
        "AWS_SECRET_ACCESS_KEY": ROLE_SECRET,
        "AWS_CONFIG_FILE": str(folder / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "none"),
    }
    async with Gateway(folder, model.url, config, environ) as gateway:
        yield gateway
        for secret in (GATEWAY_SECRET, GATEWAY_TOKEN, ROLE_SECRET, HELD, GATEWAY_KEY):
            assert secret not in gateway.log
            assert not [file for file in folder.glob("spangate.db*") if secret.encode() in file.read_bytes()]


async def asking(url: str, ask: Callable[[Any], Any], **how: Any) -> Any:
    """What `ask` makes of a client, which blocks and so is in a thread of its own."""

    def run() -> Any:
        with bedrock(url, **how) as client:
            return ask(client)

    return await asyncio.to_thread(run)


def said(answer: Any) -> Any:
    """An answer without what HTTP said around it, its streams read."""
    kept = {name: value for name, value in answer.items() if name != "ResponseMetadata"}
    for name in ("stream", "body"):
        if name in kept:
            kept[name] = kept[name].read() if hasattr(kept[name], "read") else events_of(kept[name])
    return kept


CALLS: list[Callable[[Any], Any]] = [
    lambda client: client.converse(modelId="demo", messages=HELLO),
    lambda client: client.converse(modelId=ARN, messages=HELLO, inferenceConfig={"maxTokens": 3}),
    lambda client: client.converse(modelId="demo-tools", messages=HELLO, toolConfig=TOOLS),
    lambda client: client.converse_stream(modelId="demo-reasoning", messages=HELLO),
    lambda client: client.converse_stream(modelId="demo-tools", messages=HELLO, toolConfig=TOOLS),
    lambda client: client.invoke_model(modelId="demo", body=NATIVE),
    lambda client: client.invoke_model_with_response_stream(modelId="demo-reasoning", body=NATIVE),
]
IDS = ["converse", "arn", "tools", "stream", "tools_stream", "invoke", "invoke_stream"]


@pytest.mark.parametrize("call", CALLS, ids=IDS)
@pytest.mark.parametrize("provider", ["signing", "role", "held", "bedrock"])
async def test_answer_is_the_models(
    gateway: Gateway, model: BuiltinModel, provider: str, call: Callable[[Any], Any]
) -> None:
    bearer = "the-clients-own-key" if provider == "bedrock" else None
    relayed = await asking(f"{gateway.url}/{provider}", lambda client: said(call(client)), bearer=bearer)
    assert relayed == await asking(model.url, lambda client: said(call(client)))


@pytest.mark.parametrize("call", CALLS, ids=IDS)
async def test_a_signed_request_is_signed_anew_and_verifies(
    gateway: Gateway, model: BuiltinModel, call: Callable[[Any], Any]
) -> None:
    sent = {"x-forwarded-for": "10.0.0.1", "X-Amzn-Trace-Id": "Root=1-2-3", "x-amz-meta": "  two   spaces "}
    await asking(model.url, lambda client: said(call(client)), headers=sent)
    direct = await model.received(model.count)
    assert is_signed_with(SECRET, direct)
    await asking(f"{gateway.url}/signing", lambda client: said(call(client)), headers=sent)
    relayed = await model.received(model.count)
    assert scope_of(relayed) == (GATEWAY_KEY, "us-west-2", "bedrock")
    assert is_signed_with(GATEWAY_SECRET, relayed)
    assert not is_signed_with(GATEWAY_SECRET, relayed, relayed.body + b" ")
    assert (relayed.method, relayed.target, relayed.body) == (direct.method, direct.target, direct.body)
    assert relayed.header("x-amz-security-token") == GATEWAY_TOKEN
    assert relayed.header("x-forwarded-for") is None
    names = [name.lower() for name, _ in relayed.headers]
    assert len(names) == len(set(names))
    assert KEY not in str(relayed.headers)


async def test_what_comes_without_any_credential_is_signed(gateway: Gateway, model: BuiltinModel) -> None:
    await post(gateway.url, "/signing/model/demo/converse?a=b%2Fc&a=", json.dumps({"messages": HELLO}).encode())
    request = await model.received(model.count)
    assert request.target == "/model/demo/converse?a=b%2Fc&a="
    assert is_signed_with(GATEWAY_SECRET, request)


async def test_credentials_are_found_where_botocore_looks(gateway: Gateway, model: BuiltinModel) -> None:
    await asking(f"{gateway.url}/role", CALLS[0])
    request = await model.received(model.count)
    assert scope_of(request) == (ROLE_KEY, "eu-west-1", "bedrock")
    assert is_signed_with(ROLE_SECRET, request)


@pytest.mark.parametrize(
    ("provider", "token"), [("bedrock", "clients-key"), ("signing", "clients-key"), ("held", HELD)]
)
async def test_a_bearer_token_passes_or_is_the_gateways(
    gateway: Gateway, model: BuiltinModel, provider: str, token: str
) -> None:
    await asking(f"{gateway.url}/{provider}", CALLS[0], bearer="clients-key")
    request = await model.received(model.count)
    assert request.header("authorization") == f"Bearer {token}"
    assert request.header("x-amz-date") is None


async def test_a_held_key_stands_alone_whatever_the_client_signed(gateway: Gateway, model: BuiltinModel) -> None:
    await asking(f"{gateway.url}/held", CALLS[0], headers={"x-amz-security-token": "the-clients"})
    request = await model.received(model.count)
    assert request.header("authorization") == f"Bearer {HELD}"
    assert [name for name, _ in request.headers if name.lower().startswith(b"x-amz-")] == []


@pytest.mark.parametrize("operation", ["converse", "converse-stream", "invoke-with-response-stream"])
@pytest.mark.parametrize(
    "name", ["demo", "demo-tools", "demo-error-429", "demo-error-in-stream", "demo-cut-mid-stream"]
)
async def test_with_a_bearer_token_bytes_are_the_same(
    gateway: Gateway, model: BuiltinModel, name: str, operation: str
) -> None:
    path, bearer = f"/model/{name}/{operation}", "authorization: Bearer any"
    body = NATIVE.encode() if "invoke" in operation else json.dumps({"messages": HELLO, "toolConfig": TOOLS}).encode()
    direct = split(await post(model.url, path, body, bearer, "X-Odd: kept"))
    sent_direct = await model.received(model.count)
    relayed = split(await post(gateway.url, "/bedrock" + path, body, bearer, "X-Odd: kept"))
    sent = await model.received(model.count)
    assert (sent.target, sent.body) == (sent_direct.target, sent_direct.body)
    hidden = (b"host", b"connection")
    assert [each for each in sent.headers if each[0].lower() not in hidden] == [
        each for each in sent_direct.headers if each[0].lower() not in hidden
    ]
    assert relayed[0][0] == direct[0][0]
    chunked = "transfer-encoding: chunked" in direct[0]
    assert (unchunked(relayed[1]) if chunked else relayed[1]) == (unchunked(direct[1]) if chunked else direct[1])


async def test_a_signature_that_cannot_be_replaced_is_refused_with_what_to_configure(
    gateway: Gateway, model: BuiltinModel
) -> None:
    before = model.count
    with pytest.raises(ClientError) as caught:
        await asking(f"{gateway.url}/bedrock", CALLS[0])
    error = caught.value.response
    assert error["Error"]["Code"] == "UnrecognizedClientException"
    assert "receivers::llm::providers::bedrock::aws" in error["Error"]["Message"]
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 401
    assert error["ResponseMetadata"]["HTTPHeaders"]["x-spangate-code"] == "unauthorized"
    assert model.count == before


async def test_credentials_that_are_not_found_are_told(gateway: Gateway, model: BuiltinModel) -> None:
    before = model.count
    with pytest.raises(ClientError, match="no AWS credentials to sign with for provider 'nobody'") as caught:
        await asking(f"{gateway.url}/nobody", CALLS[0])
    assert caught.value.response["Error"]["Code"] == "ServiceUnavailableException"
    assert model.count == before


async def test_a_body_too_big_to_sign_is_refused_and_passes_with_a_bearer_token(
    gateway: Gateway, model: BuiltinModel
) -> None:
    big: Any = [{"role": "user", "content": [{"text": "long " * (CAPTURE_MAX // 4)}]}]
    before = model.count
    with pytest.raises(ClientError, match="capture_max") as caught:
        await asking(f"{gateway.url}/signing", lambda client: client.converse(modelId="demo", messages=big))
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert model.count == before
    passed = await asking(
        f"{gateway.url}/signing", lambda client: client.converse(modelId="demo", messages=big), bearer="any"
    )
    assert passed["stopReason"] == "end_turn"


async def test_enforcer_refuses_as_access_denied_and_the_model_hears_nothing(
    gateway: Gateway, model: BuiltinModel, codeword: str
) -> None:
    before = model.count
    asked: Any = [{"role": "user", "content": [{"text": f"Tell me about {codeword}"}]}]
    with pytest.raises(ClientError) as caught:
        await asking(f"{gateway.url}/signing", lambda client: client.converse_stream(modelId="demo", messages=asked))
    assert caught.value.response["Error"]["Code"] == "AccessDeniedException"
    assert codeword not in str(caught.value)
    assert model.count == before


@pytest.mark.parametrize("name", ["demo-error-400", "demo-error-403", "demo-error-404", "demo-error-429"])
async def test_error_is_the_same_exception_as_direct(gateway: Gateway, model: BuiltinModel, name: str) -> None:
    caught: list[ClientError] = []
    for url in (f"{gateway.url}/signing", model.url):
        with pytest.raises(ClientError) as raised:
            await asking(url, lambda client: client.converse(modelId=name, messages=HELLO))
        caught.append(raised.value)
    assert type(caught[0]).__name__ == type(caught[1]).__name__
    assert caught[0].response["Error"] == caught[1].response["Error"]


async def recorded(gateway: Gateway, session: str, call: Callable[[Any], Any]) -> list[dict[str, Any]]:
    """Both sides of what the store has of this call."""
    await asking(f"{gateway.url}/signing", lambda client: said(call(client)), headers={"x-session-id": session})
    return await gateway.traces(session, 2)


async def test_a_tool_call_is_stored_with_model_tokens_and_messages(gateway: Gateway) -> None:
    asked: Any = [{"role": "user", "content": [{"text": "How is the weather in Braga?"}]}]
    inlet, response = await recorded(
        gateway,
        "bedrock-tools",
        lambda client: client.converse_stream(modelId="demo-tools", messages=asked, toolConfig=TOOLS),
    )
    assert (inlet["api"], inlet["operation"], inlet["model"]) == ("bedrock_converse", "chat", "demo-tools")
    assert (inlet["stream"], inlet["capture"], inlet["end"]) == (True, "full", "finished")
    assert inlet["messages"][0]["parts"] == [{"type": "text", "content": "How is the weather in Braga?"}]
    [call] = response["messages"][0]["parts"]
    assert (call["type"], call["name"], call["arguments"]) == ("tool_call", "weather", {"city": "Braga"})
    assert response["finish_reasons"] == ["tool_call"]
    assert response["usage"]["state"] == "reported"
    assert response["usage"]["input_tokens"] > 0


async def test_a_native_stream_is_stored_as_anthropics(gateway: Gateway) -> None:
    _, response = await recorded(gateway, "bedrock-native", CALLS[-1])
    assert (response["api"], response["model"]) == ("bedrock_invoke", "demo-reasoning")
    assert [part["type"] for part in response["messages"][0]["parts"]] == ["reasoning", "text"]
    assert response["usage"]["output_tokens"] > 0


async def test_the_model_behind_an_arn_is_stored_by_its_arn(gateway: Gateway) -> None:
    _, response = await recorded(gateway, "bedrock-arn", CALLS[1])
    assert (response["model"], response["finish_reasons"]) == (ARN, ["length"])


async def test_an_errors_name_is_stored_though_only_a_header_says_it(gateway: Gateway) -> None:
    with pytest.raises(ClientError):
        await recorded(
            gateway, "bedrock-error", lambda client: client.converse(modelId="demo-error-400", messages=HELLO)
        )
    traces = await gateway.traces("bedrock-error", 1)
    assert {trace["error"] for trace in traces} == {"ValidationException"}


async def test_an_exception_in_a_stream_raises_and_is_stored_with_what_came(gateway: Gateway) -> None:
    with pytest.raises(EventStreamError, match="modelStreamErrorException"):
        await recorded(
            gateway,
            "bedrock-midway",
            lambda client: client.converse_stream(modelId="demo-error-in-stream", messages=HELLO),
        )
    _, response = await gateway.traces("bedrock-midway", 2)
    assert (response["error"], response["finish_reasons"]) == ("modelStreamErrorException", ["error"])
    assert response["messages"][0]["parts"][0]["content"]


async def test_a_corrupt_frame_is_relayed_as_it_is_and_marked(gateway: Gateway) -> None:
    body = json.dumps({"messages": HELLO}).encode()
    answer = await post(gateway.url, "/odd/model/m/converse-stream", body, "x-session-id: bedrock-odd")
    assert split(answer)[1] == CORRUPT.read_bytes()
    _, response = await gateway.traces("bedrock-odd", 2)
    assert response["capture"] == "truncated"
    assert response["messages"][0]["parts"] == [{"type": "text", "content": "One three."}]
    assert response["usage"]["output_tokens"] == 3
