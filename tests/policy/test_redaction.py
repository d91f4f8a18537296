"""What the store keeps of messages with secrets in them."""

import json
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.message import (
    Blob,
    Entry,
    File,
    Message,
    Other,
    Part,
    Reasoning,
    ServerToolCall,
    Text,
    ToolCall,
    ToolCallResponse,
    Uri,
)
from gateway.policy.engine import Found, PolicySet
from gateway.policy.redaction import CleanWords, redacted
from gateway.providers.known import entry_of

Say = Callable[..., Entry]
KEY = "ghp_a8Kd02mZqP4rTx6vWy1BnC3EfG5hJ7Lo9Qs1"
CARD = "4111 1111 1111 1111"


@pytest.fixture(scope="module")
def policies() -> PolicySet:
    return PolicySet(())


def test_a_clean_message_is_kept_as_it_is(policies: PolicySet, said: Say) -> None:
    entry = said("hello")
    assert redacted(entry, policies) is entry.json


@pytest.mark.parametrize(
    ("part", "clean"),
    [
        (Text(f"key {KEY}!"), Text("key [credentials]!")),
        (Text(f"{CARD} ä DE89370400440532013000 a@b.org"), Text("[financial] ä [financial] [personal]")),
        (Reasoning(f"so {KEY}"), Reasoning("so [credentials]")),
        (ToolCall("pay", arguments={"card": CARD, "n": 1}), ToolCall("pay", arguments={"card": "[financial]", "n": 1})),
        (ToolCall("pay", arguments={"n": 4111111111111111}), ToolCall("pay", arguments={"n": "[financial]"})),
        (ToolCall("x", arguments='{"half": "' + KEY), ToolCall("x", arguments='{"half": "[credentials]')),
        (
            ToolCall("login", arguments={"password": "Tr4vel-by-night", "to": ["a\nme@b.org"]}),
            ToolCall("login", arguments={"password": "[credentials]", "to": ["a\n[personal]"]}),
        ),
        (ToolCallResponse(f"A=1\n{KEY}\n"), ToolCallResponse("A=1\n[credentials]\n")),
        (ToolCallResponse({"out": f"x\n{KEY}"}), ToolCallResponse({"out": "x\n[credentials]"})),
        (Other("odd", content={"k": KEY}), Other("odd", content={"k": "[credentials]"})),
        (Uri("image", "https://me:hG72kdLq0@h.dev/i"), Uri("image", "https://me:[credentials]@h.dev/i")),
    ],
)
def test_findings_become_their_category(policies: PolicySet, part: Part, clean: Part) -> None:
    assert redacted(entry_of(Message("user", (part,))), policies) == entry_of(Message("user", (clean,))).json


@pytest.mark.parametrize(
    ("parts", "clean"),
    [
        ((Text(f"key {KEY[:20]}"), Text(f"{KEY[20:]} end")), (Text("key [credentials]"), Text("[credentials] end"))),
        ((Text(KEY[:9]), Reasoning(KEY[9:])), (Text("[credentials]"), Reasoning("[credentials]"))),
        ((Text(f"\u2026 {KEY[:20]}\u200b{KEY[20:]}!"),), (Text("\u2026 [credentials]!"),)),
        ((Text("a@b.org"), Text("and no more")), (Text("[personal]"), Text("[personal] no more"))),
    ],
)
def test_disguised_findings_become_their_category(
    policies: PolicySet, parts: tuple[Part, ...], clean: tuple[Part, ...]
) -> None:
    assert redacted(entry_of(Message("user", parts)), policies) == entry_of(Message("user", clean)).json


@pytest.mark.parametrize(
    "message",
    [
        Message("user", (Text("hello"),), name=KEY),
        Message(KEY, (Text("hello"),)),
        Message("assistant", (ToolCall(KEY, "c1", {}),)),
        Message("assistant", (ServerToolCall(KEY, "c1", {}),)),
        Message("assistant", (Text("first"), ToolCall("pay", "c1", {"key": KEY}))),
        Message("tool", (ToolCallResponse({"said": [KEY]}, "c1"),)),
        Message("assistant", (Reasoning(KEY),)),
        Message("user", (Other("new", {"text": KEY}),)),
    ],
)
def test_whatever_a_detector_reads_is_cleaned(policies: PolicySet, message: Message) -> None:
    assert KEY.encode() not in redacted(entry_of(message), policies)


def test_a_name_is_cleaned_too(policies: PolicySet) -> None:
    entry = entry_of(Message("user", (Text("hi"),), name="a@b.org"))
    assert redacted(entry, policies) == entry_of(Message("user", (Text("hi"),), name="[personal]")).json


def test_one_scan_serves_policy_and_store(policies: PolicySet, said: Say) -> None:
    entry = said("nothing here")
    policies.assess("inlet", [entry])
    policies.sensitive(entry)
    scans = policies._scanner.scans
    redacted(entry, policies)
    assert policies._scanner.scans == scans


def test_it_is_worked_out_once(policies: PolicySet, said: Say) -> None:
    entry = said(KEY)
    assert redacted(entry, policies) is redacted(entry, policies)


def test_more_than_can_be_told_apart_is_taken_out_whole(policies: PolicySet, said: Say) -> None:
    assert b"@" not in redacted(said("a@b.org " * 2_000), policies)


def test_what_was_not_looked_at_whole_is_taken_out_whole(policies: PolicySet, said: Say) -> None:
    entry = said("DE89 3704 0044 0532 0130 01, " * 5_000)
    assert policies.sensitive(entry)
    assert redacted(entry, policies) == said("[financial]").json


class Everywhere:
    """Finds the same places in any text, sensible or not."""

    def __init__(self, places: list[tuple[int, int]]) -> None:
        self._places = places

    def sensitive(self, entry: Entry) -> bool:
        return True

    def sensitive_in(self, text: str) -> list[Found]:
        return sorted((Found("c", "d", p, False) for p in self._fitting(text)), key=lambda each: each.place)

    def _fitting(self, text: str) -> Iterator[tuple[int, int]]:
        return ((a, b) for a, b in self._places if a < b <= len(text))


json_values = st.recursive(
    st.none() | st.integers(-(2**53), 2**53) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@given(json_values, st.text(max_size=40), st.lists(st.tuples(st.integers(0, 40), st.integers(0, 60)), max_size=5))
def test_whatever_is_cut_the_json_stays_valid(value: object, text: str, places: list[tuple[int, int]]) -> None:
    entry = entry_of(Message("assistant", (Text(text), ToolCall("t", arguments=value))))
    read = json.loads(redacted(entry, Everywhere(places)))
    # The second where something is found again over both, and nothing is kept.
    assert [part["type"] for part in read["parts"]] in (["text", "tool_call"], ["text"])


@pytest.mark.parametrize(
    "part",
    [
        Blob("image", KEY, "00", 3),
        Blob("image", f"image/{KEY}"),
        File("document", KEY),
        ToolCall("f", id=KEY),
        ToolCallResponse("42", id=KEY),
        ServerToolCall("f", id=KEY),
        Uri("image", f"https://example.com/?k={KEY}"),
        Other(KEY),
    ],
)
def test_no_other_string_of_a_part_keeps_a_key(policies: PolicySet, part: Part) -> None:
    assert KEY.encode() not in redacted(entry_of(Message("user", (part,))), policies)


@pytest.mark.parametrize(
    "message",
    [
        Message("user", (Text(KEY[:12]),), name=KEY[12:]),
        Message(KEY[12:], (Text(KEY[:12]),)),
        Message("assistant", (Text(KEY[:12]), ToolCall(KEY[12:]))),
    ],
)
def test_a_key_cut_between_a_text_and_a_name_is_not_kept(policies: PolicySet, message: Message) -> None:
    kept = redacted(entry_of(message), policies)
    assert KEY[12:].encode() not in kept


def test_words_are_cleaned_and_only_short_ones_remembered(policies: PolicySet) -> None:
    clean = CleanWords(policies)
    assert [clean("gpt-4o"), clean(f"/v1/{KEY}/x"), clean("a@b.org")] == ["gpt-4o", "/v1/[credentials]/x", "[personal]"]
    assert clean("x " * 1000) == "x " * 1000
    assert clean("gpt-4o") == "gpt-4o"
