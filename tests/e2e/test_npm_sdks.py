"""The npm packages `openai`, `@anthropic-ai/sdk` and `ai` through the real gateway: programs of `npm/sdks`, run twice.

Directly against the built-in model and through the gateway they are told the same, get the same bytes, and send the
same. Needs Node.js; without it these tests fail, they are not skipped.
"""

import json
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from gateway.demo.connection import Received
from gateway.demo.model import BuiltinModel
from tests.e2e.gateway_process import Gateway
from tests.e2e.npm import bare, installed, run
from tests.e2e.npm_cases import CASES
from tests.e2e.said import check_spans
from tests.e2e.span_sink import SpanSink, attributes_of
from tests.e2e.test_bytes import end_to_end

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

WITHIN_S = 120.0
"""Each run takes half a second."""
REFUSALS = {
    "openai": ["refused"],
    "anthropic": ["refused"],
    "ai": ["responses-refused", "chat-refused", "anthropic-refused"],
}
"""Cases that the gateway's enforcer blocks."""
EACH = pytest.mark.parametrize(
    ("program", "case"), [(program, case) for program, cases in CASES.items() for case in cases]
)


class Run(NamedTuple):
    """One run of a program."""

    told: dict[str, Any]
    """By case: `result` or `error`, and `answers`."""
    sent: list[Received]
    """What reached the model, in order."""


class Ran(NamedTuple):
    direct: Run
    relayed: Run


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ran(model: BuiltinModel, exporting: Gateway, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ran]:
    folder = await installed("sdks")
    environ = bare(tmp_path_factory.mktemp("home"))

    async def once(program: str, *urls: str) -> Run:
        before = model.count
        ended = await run(["node", f"{program}.mjs", *urls], folder, environ, WITHIN_S)
        assert (ended.code, ended.errors) == (0, "")
        return Run(json.loads(ended.out), list(model.requests)[before - model.count :])

    openai, anthropic = f"{model.url}/v1", model.url
    return {
        "openai": Ran(await once("openai", openai), await once("openai", exporting.openai_url)),
        "anthropic": Ran(await once("anthropic", anthropic), await once("anthropic", exporting.anthropic_url)),
        "ai": Ran(
            await once("ai", openai, f"{anthropic}/v1"),
            await once("ai", exporting.openai_url, f"{exporting.anthropic_url}/v1"),
        ),
    }


@pytest.mark.parametrize("program", CASES)
async def test_every_case_is_looked_at(ran: dict[str, Ran], program: str) -> None:
    assert set(ran[program].relayed.told) == {
        *CASES[program],
        *REFUSALS[program],
        *(["models"] * (program == "openai")),
    }


@EACH
async def test_the_library_says_the_same(ran: dict[str, Ran], program: str, case: str) -> None:
    direct, relayed = ran[program].direct.told[case], ran[program].relayed.told[case]
    assert ("error" in relayed) == (relayed["answers"][-1]["status"] >= 400)
    if "cut" in case:
        # When a connection breaks Node drops what it has not handed out yet.
        fewer, more = sorted((direct["result"]["events"], relayed["result"]["events"]), key=len)
        assert fewer == more[: len(fewer)]
        assert relayed["result"]["error"] == direct["result"]["error"]
    else:
        assert [relayed.get(key) for key in ("result", "error")] == [direct.get(key) for key in ("result", "error")]


@EACH
async def test_the_library_gets_the_same_bytes(ran: dict[str, Ran], program: str, case: str) -> None:
    direct, relayed = ([_bytes(answer) for answer in run.told[case]["answers"]] for run in ran[program])
    assert relayed == direct
    assert all(answer["whole"] for answer in relayed) == ("cut" not in case)


@pytest.mark.parametrize("program", CASES)
async def test_the_model_gets_the_same_requests(ran: dict[str, Ran], codeword: str, program: str) -> None:
    direct, relayed = (
        [(request.method, request.target, end_to_end(request), request.body) for request in run.sent]
        for run in ran[program]
    )
    refused = [sent for sent in direct if codeword.encode() in sent[3]]
    assert relayed == [sent for sent in direct if sent not in refused]
    assert len(refused) == len(REFUSALS[program])


@EACH
async def test_each_exchange_has_a_span_that_says_it(
    ran: dict[str, Ran], sink: SpanSink, program: str, case: str
) -> None:
    answers = ran[program].relayed.told[case]["answers"]
    await check_spans(sink, [answer["exchange"] for answer in answers], *CASES[program][case])


async def test_answers_id_names_the_next_turn_of_a_thread(ran: dict[str, Ran], sink: SpanSink) -> None:
    """Anthropic's tool runner has the server keep the history."""
    answers = ran["anthropic"].relayed.told["tools"]["answers"]
    first, second = [attributes_of(await sink.span(answer["exchange"])) for answer in answers]
    assert second["gen_ai.request.previous_response.id"] == first["gen_ai.response.id"]
    assert "gen_ai.request.previous_response.id" not in first


async def test_refusal_is_the_librarys_own_exception(ran: dict[str, Ran]) -> None:
    for program, cases in REFUSALS.items():
        for case in cases:
            told = ran[program].relayed.told[case]
            assert told["error"].get("status", told["error"].get("statusCode")) == 403
            assert "This project is not for models." in told["error"]["message"]
            assert told["error"]["class"] == ("APICallError" if program == "ai" else "PermissionDeniedError")


def _bytes(answer: dict[str, Any]) -> dict[str, Any]:
    """What has to be the same of an answer; of half a one, Node tells how much it got at random."""
    left_out = {"exchange"} if answer["whole"] else {"exchange", "bytes", "sha256"}
    return {key: value for key, value in answer.items() if key not in left_out}
