"""The sample conversations of `make demo` through a real gateway, with the agents that ship."""

from pathlib import Path

from gateway.demo.model import BuiltinModel
from gateway.demo.traffic import CONVERSATIONS, hold_conversations
from tests.e2e.gateway_process import Gateway

_SHIPPED = Path(__file__).parents[2] / "policies" / "*.yaml"


async def test_conversations_come_out_as_sessions_and_the_card_number_is_flagged(tmp_path: Path) -> None:
    config = {
        "processors": {"policy": {"files": [str(_SHIPPED)]}},
        "service": {"pipelines": {"traces": {"processors": ["session", "policy"]}}},
    }
    lines: list[str] = []
    async with BuiltinModel() as model, Gateway(tmp_path, model.url, config) as gateway:
        await hold_conversations(gateway.url, lines.append)
        await gateway.traces("demo-refund", 4)
        sessions = await gateway.sessions()
    assert len(lines) == len(CONVERSATIONS) == len(sessions)
    outcomes = {session["id"]: session["outcome"] for session in sessions}
    assert outcomes["demo-refund"] == "flagged"
    assert sorted(session["exchanges"] for session in sessions) == [1, 1, 2, 2, 2, 3]
    assert [session["failures"] for session in sessions if session["failures"]] == [1]


async def test_card_number_reaches_neither_the_log_nor_a_redacted_store(tmp_path: Path) -> None:
    config = {
        "extensions": {"storage": {"content": "redacted"}},
        "processors": {"policy": {"files": [str(_SHIPPED)]}},
        "service": {"pipelines": {"traces": {"processors": ["session", "policy"]}}},
    }
    async with BuiltinModel() as model, Gateway(tmp_path, model.url, config) as gateway:
        await hold_conversations(gateway.url, lambda line: None)
        await gateway.traces("demo-refund", 4)
    stored = _bytes_of(tmp_path, "spangate.db*")
    assert b"I want a refund on my card" in stored
    assert b"4111 1111" not in stored
    assert "4111 1111" not in gateway.log


def _bytes_of(folder: Path, pattern: str) -> bytes:
    return b"".join(file.read_bytes() for file in folder.glob(pattern))
