"""The API gives sessions and traces as JSON, page by page, and says what is wrong with a question."""

import msgspec
import pytest
from yarl import URL

from tests.console.conftest import Client, Put
from tests.link.fakes import a_message, a_record


async def test_sessions_come_in_pages(script: Client, put: Put) -> None:
    put(*(a_record(str(n), session_id=f"s{n}", ended_ns=n) for n in range(5)))
    first = await (await script.get("/api/v1/sessions?limit=3")).json()
    assert [item["id"] for item in first["items"]] == ["s4", "s3", "s2"]
    second = await (await script.get("/api/v1/sessions", params={"limit": "3", "cursor": first["next"]})).json()
    assert [item["id"] for item in second["items"]] == ["s1", "s0"]
    assert second["next"] is None


async def test_a_session_says_what_it_came_to(script: Client, put: Put) -> None:
    put(a_record("a", outcome="flagged"), a_record("b", model="gpt-5"))
    found = await (await script.get("/api/v1/sessions/s1")).json()
    assert (found["exchanges"], found["outcome"], found["models"]) == (2, "flagged", ["gpt-4o", "gpt-5"])
    assert found["started"].endswith("Z")
    assert (found["lifecycle"], found["closed_by"], found["attention"]) == ("closed", "idle", "flagged")


async def test_a_session_tells_what_it_cost_as_far_as_that_is_known(script: Client, put: Put) -> None:
    put(a_record("a", cost_nusd=1_500_000), a_record("b", cost_nusd=500_000), a_record("c", session_sequence=2))
    found = await (await script.get("/api/v1/sessions/s1")).json()
    assert (found["cost_usd"], found["unpriced"]) == (0.002, 1)
    traces = (await (await script.get("/api/v1/sessions/s1/traces")).json())["items"]
    assert [trace["cost_usd"] for trace in traces] == [0.0015, 0.0015, 0.0005, 0.0005, None, None]


async def test_traces_come_in_the_order_of_their_inputs_however_they_arrived(script: Client, put: Put) -> None:
    for sequence in (3, 1, 12, 2):
        put(a_record(str(sequence), session_sequence=sequence, started_ns=100 - sequence))
    put(a_record("2, as another worker says", session_sequence=2, started_ns=5))
    seen: list[str] = []
    query = {"limit": "2"}
    while True:
        page = await (await script.get("/api/v1/sessions/s1/traces", params=query)).json()
        seen += [trace["exchange"] for trace in page["items"] if trace["direction"] == "inlet"]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert seen == ["1", "2, as another worker says", "2", "3", "12"]


@pytest.mark.parametrize("session_id", ["a/b", "a b?c#d", "ü%2F", "..", "x-<b>"])
async def test_ids_of_any_characters_are_found(script: Client, put: Put, session_id: str) -> None:
    put(a_record("a", session_id=session_id))
    encoded = "".join(f"%{byte:02X}" for byte in session_id.encode())
    answer = await script.get(URL(f"/api/v1/sessions/{encoded}/traces", encoded=True))
    assert [item["id"] for item in (await answer.json())["items"]] == ["a.inlet", "a.response"]


async def test_traces_hold_what_each_turn_added(script: Client, put: Put) -> None:
    one, yes, two = a_message("one"), a_message("yes", "assistant"), a_message("two")
    put(
        a_record("a", input_digests=one.digest, output_digests=yes.digest, messages=(one, yes)),
        a_record(
            "b", input_digests=one.digest + yes.digest + two.digest, output_digests=b"", messages=(two,), new_from=2
        ),
    )
    page = await (await script.get("/api/v1/sessions/s1/traces")).json()
    by_id = {trace["id"]: trace for trace in page["items"]}
    assert list(by_id) == ["a.inlet", "a.response", "b.inlet", "b.response"]
    assert by_id["a.response"]["messages"] == [msgspec.json.decode(yes.json)]
    assert by_id["b.inlet"]["messages"] == [msgspec.json.decode(two.json)]
    assert by_id["b.inlet"]["repeated_messages"] == 2
    assert by_id["a.inlet"]["assessments"][0]["agent"] == "protector"
    assert by_id["a.response"]["assessments"] == []


async def test_traces_come_in_pages(script: Client, put: Put) -> None:
    put(*(a_record(str(n)) for n in range(5)))
    seen: list[str] = []
    parameters = {"limit": "2"}
    while True:
        page = await (await script.get("/api/v1/sessions/s1/traces", params=parameters)).json()
        seen += [trace["exchange"] for trace in page["items"] if trace["direction"] == "inlet"]
        if page["next"] is None:
            break
        parameters["cursor"] = page["next"]
    assert seen == ["0", "1", "2", "3", "4"]


async def test_a_refused_exchange_has_no_response(script: Client, put: Put) -> None:
    put(
        a_record(
            "a", outcome="blocked", end="blocked", status=403, refusal_code="blocked_by_policy", output_digests=b""
        )
    )
    inlet = await (await script.get("/api/v1/traces/a.inlet")).json()
    assert (inlet["status"], inlet["outcome"], inlet["error"]) == ("rejected", "blocked", "blocked_by_policy")
    assert (await script.get("/api/v1/traces/a.response")).status == 404


async def test_content_that_is_not_stored_leaves_the_role(script: Client, put: Put) -> None:
    message = type(a_message("x"))(b"d" * 16, "user", b"")
    put(a_record("a", input_digests=message.digest, messages=(message,)))
    trace = await (await script.get("/api/v1/traces/a.inlet")).json()
    assert trace["messages"] == [{"role": "user"}]


@pytest.mark.parametrize(
    "path", ["/api/v1/sessions/none", "/api/v1/sessions/none/traces", "/api/v1/traces/none.inlet", "/api/v1/traces/x"]
)
async def test_what_is_not_there_is_a_json_404(script: Client, path: str) -> None:
    answer = await script.get(path)
    assert answer.status == 404
    assert (await answer.json())["error"]["code"] == "not_found"


async def test_an_unknown_path_of_the_api_is_a_json_404(script: Client) -> None:
    answer = await script.get("/api/v1/nothing")
    assert (answer.status, answer.content_type) == (404, "application/json")


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/api/v1/sessions?cursor=nonsense", "cursor"),
        ("/api/v1/sessions?cursor=", "cursor"),
        ("/api/v1/sessions/s1/traces?cursor=%F0%9F%98%80", "cursor"),
        ("/api/v1/sessions?limit=0", "limit"),
        ("/api/v1/sessions?limit=-1", "limit"),
        ("/api/v1/sessions?limit=100000000000", "limit"),
        ("/api/v1/sessions?limit=ten", "limit"),
    ],
)
async def test_a_bad_question_is_told_what_is_wrong(script: Client, put: Put, path: str, says: str) -> None:
    put(a_record())
    answer = await script.get(path)
    assert answer.status == 400
    assert says in (await answer.json())["error"]["message"]
