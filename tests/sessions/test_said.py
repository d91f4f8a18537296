import pytest

from gateway.model.message import Message, Other, Part, Reasoning, Text, ToolCall, ToolCallResponse
from gateway.providers.known import entry_of
from gateway.sessions.said import Said, lines, plain, said


def digests(role: str, *parts: Part, **more: object) -> bytes:
    return said(entry_of(Message(role, parts, **more))).digests  # type: ignore[arg-type]


PLAIN = digests("assistant", Text("Hello"))


@pytest.mark.parametrize(
    "same",
    [
        digests("assistant", Text("Hello"), finish_reason="stop"),
        digests("assistant", Text(" Hello\n")),
        digests("assistant", Text("Hel"), Text("lo")),
        digests("assistant", Reasoning("hm"), Text("Hello")),
        digests("assistant", Other("redacted_thinking"), Text("Hello")),
        digests("assistant", Text("<system-reminder>it is noon</system-reminder>Hello")),
        digests("assistant", Text("Hello"), name="bot"),
    ],
)
def test_what_says_the_same_is_the_same(same: bytes) -> None:
    assert same == PLAIN


@pytest.mark.parametrize(
    "other",
    [
        digests("user", Text("Hello")),
        digests("assistant", Text("Hello.")),
        digests("assistant", Text("Hel lo")),
        digests("assistant", Text("Hello"), ToolCall("ls", "call_1")),
        digests("assistant", Text("<b>Hello</b>")),
    ],
)
def test_what_says_something_else_is_not(other: bytes) -> None:
    assert other
    assert other != PLAIN


def test_a_call_is_known_by_its_meaning() -> None:
    call = digests("assistant", ToolCall("ls", "call_1", {"b": 1, "a": 2}))
    assert call == digests("assistant", Text(""), ToolCall("ls", "call_1", {"a": 2, "b": 1}), finish_reason="tool_call")
    assert call != digests("assistant", ToolCall("ls", "call_2", {"a": 2, "b": 1}))
    assert call != digests("assistant", ToolCall("ls", "call_1", {"a": 2, "b": 2}))


def test_a_result_is_known_by_its_call_where_that_has_an_id() -> None:
    assert digests("tool", ToolCallResponse("long", "call_1")) == digests("user", ToolCallResponse("cut", "call_1"))
    assert digests("tool", ToolCallResponse("one")) != digests("tool", ToolCallResponse("two"))


@pytest.mark.parametrize("role", ["system", "developer"])
def test_instructions_say_nothing(role: str) -> None:
    assert said(entry_of(Message(role, (Text("Be brief."),)))) == Said()


def test_what_was_worked_out_is_remembered() -> None:
    entry = entry_of(Message("user", (Text("hi"),)))
    assert said(entry) is said(entry)
    assert lines(entry) is lines(entry)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a <system-reminder>b</system-reminder> c", "a  c"),
        ("<system-reminder>b</system-reminder><system-reminder>b</system-reminder>c", "c"),
        ("<system-reminder>never closed", "<system-reminder>never closed"),
        ("a</system-reminder>b", "a</system-reminder>b"),
        ("<environment_context>x</environment_context>", ""),
        ("2 < 3", "2 < 3"),
    ],
)
def test_what_agents_put_between_tags_is_left_out(text: str, left: str) -> None:
    assert plain(text) == left


def test_many_tags_that_are_not_closed_are_looked_through_once() -> None:
    text = "<system-reminder>" * 100_000
    assert plain(text) == text


def test_only_long_lines_are_told_and_the_longest_first() -> None:
    long, longer = "l" * 64, "m" * 80
    found = lines(entry_of(Message("assistant", (Text(f"short\n{long}\n  {longer}  \n{'s' * 63}"),))))
    assert found == (
        *lines(entry_of(Message("user", (Text(longer),)))),
        *lines(entry_of(Message("user", (Text(long),)))),
    )
    assert len(lines(entry_of(Message("user", (Text("\n".join("x" * (64 + n) for n in range(50))),))))) == 8
