"""Readings of a text: what they say, and that their places lead back to what was written."""

import sys
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.characters import origins_of as _origins
from gateway.policy.characters import plain_text
from gateway.policy.plain import pieces, readings_of, simple

WIDE = "\uff50\uff41\uff53\uff53"


def found(text: str, word: str) -> set[str]:
    """What stands in the text where a reading of it has this word."""
    seen = set()
    for reading in readings_of(text):
        at = reading.text.find(word)
        if at >= 0:
            [(start, end)] = reading.written_at([(at, at + len(word))])
            seen.add(text[start:end])
    return seen


@pytest.mark.parametrize(
    ("text", "word", "written"),
    [
        ("a pass b", "pass", "pass"),
        (f"a {WIDE} b", "pass", WIDE),
        ("a p\u200ba\u00ads\u2060s b", "pass", "p\u200ba\u00ads\u2060s"),
        ("p\ufe0fa\u034fss", "pass", "p\ufe0fa\u034fss"),
        ("\ud83d\udd11 \U0001d429\U0001d41a\U0001d42c\U0001d42c", "pass", "\U0001d429\U0001d41a\U0001d42c\U0001d42c"),
        ("o\ufb03ce", "office", "o\ufb03ce"),
        ("o\ufb03ce", "fi", "\ufb03"),
        ("\u2026 cafe\u200b\u0301!", "caf\u00e9", "cafe\u200b\u0301"),
        ("\u200b\u1112\u1161\u11ab", "\ud55c", "\u1112\u1161\u11ab"),
        ("\uff76\uff9e \uff41", "\u30ac", "\uff76\uff9e"),
        (r"x\nsk-1", " \nsk-1", r"\nsk-1"),
        (rf"\n{WIDE}", " \npass", rf"\n{WIDE}"),
    ],
)
def test_a_word_is_found_where_it_is_written(text: str, word: str, written: str) -> None:
    assert found(text, word) == {written}


def test_tags_are_read_as_what_they_copy_and_as_if_they_were_not_there() -> None:
    tags = "".join(chr(0xE0000 + ord(letter)) for letter in "pass")
    assert found(f"\U0001f511{tags} b", "pass") == {tags}
    cut = f"pa{tags}ss"
    assert cut in found(cut, "pass")


def test_plain_text_has_one_reading() -> None:
    assert simple("plain words")
    assert [reading.text for reading in readings_of("plain words")] == ["plain words"]
    assert [reading.text for reading in readings_of("\u00fcber")] == ["\u00fcber", "uber"]
    assert [reading.text for reading in readings_of("\u732b")] == ["\u732b"]


MIXED = st.text(
    st.one_of(
        st.sampled_from("ab\u200b\u0301\u0323\ufb03\u2026\uff41\uff9e\u1112\u1161\u11ab\u0c46\u0c56\u09c7\u09be"),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=20,
)


@given(text=MIXED)
def test_each_character_leads_back_to_what_it_was_made_of(text: str) -> None:
    origins = _origins(text)
    assert origins == sorted(origins)
    assert "".join(plain_text(text[start:end]) for start, end in dict.fromkeys(origins)) == plain_text(text)
    assert len(origins) == len(plain_text(text))


@given(marks=st.integers(25, 100), around=st.sampled_from(["", "a", "\u1112\u1161", "\0"]))
def test_marks_without_end_lead_back_too(marks: int, around: str) -> None:
    test_each_character_leads_back_to_what_it_was_made_of.hypothesis.inner_test(  # type: ignore[attr-defined]
        f"{around}e" + "\u0301\u0327\u0f73"[: marks % 3 + 1] * marks + around
    )


def test_marks_are_put_in_order_a_letters_worth_at_a_time() -> None:
    """All of them at once took a minute for half a megabyte: this test would be felt."""
    many = "e" + "\u0301\u0327" * 200_000
    plain = plain_text(many)
    assert len(plain) == len(many) - 1
    assert plain[:60] == "\u0229" + "\u0327" * 14 + "\u0301" * 15 + "\u0327" * 15 + "\u0301" * 15


@pytest.mark.parametrize("mark", ["\u0301", "\u0f73", "\u302a"])
def test_what_a_letter_may_have_is_normalised_whole(mark: str) -> None:
    assert plain_text("e\u0327" + mark * 28) == normalize("NFKC", "e\u0327" + mark * 28)


def test_no_character_changes_places_when_it_is_normalised() -> None:
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        if normalize("NFKC", "a" + character) != "a" + character or normalize("NFKC", character) != character:
            text = f"a{character}b"
            for reading in readings_of(text):
                last = len(reading.text) - 1
                assert reading.written_at([(last, last + 1)]) == [(2, 3)], hex(code)


@pytest.mark.parametrize("filling", ["\ufdfa", "\ufdfb", "\u3316", "\ufdfa" + chr(0xE0041), "\ufdfa\\\\n"])
def test_text_that_would_become_many_times_as_much_is_read_in_plain_at_its_beginning_only(filling: str) -> None:
    text = filling * 200_000
    readings = readings_of(text)
    assert any(reading.cut for reading in readings)
    assert all(len(reading.text) <= 3 * len(text) + 4096 for reading in readings)
    plain = next(reading for reading in readings if reading.cut)
    assert plain.text.startswith(plain_text(filling * 1000))
    assert plain.written_at([(0, 1)]) == [(0, len(text))]


@pytest.mark.parametrize(
    "text", ["\u2026" * 100_000, "\ufdfa" * 240, "a" * 50_000 + "\ufdfa" * 5_000, "\u3316 km " * 9_000]
)
def test_what_people_write_is_read_whole(text: str) -> None:
    plain = readings_of(text)[1]
    assert (plain.text, plain.cut) == (normalize("NFKC", text), False)


LETTERS = st.sampled_from(["e\u0301", "o\u0f73", "\ufdfa", "\u3316", "\u33af", "\u1112\u1161\u11ab", "\U0001d160", "e"])


@given(text=st.lists(LETTERS, min_size=250, max_size=300).map("".join))
def test_a_long_text_is_normalised_as_unicode_has_it(text: str) -> None:
    assert plain_text(text) == normalize("NFKC", text)


@pytest.mark.parametrize(
    ("texts", "place", "parts"),
    [
        (["pass", "word"], (0, 4), [(0, (0, 4))]),
        (["pass", "word"], (4, 8), [(1, (0, 4))]),
        (["a pass", "word b"], (2, 10), [(0, (2, 6)), (1, (0, 4))]),
        (["a", "", "b", "c"], (0, 3), [(0, (0, 1)), (2, (0, 1)), (3, (0, 1))]),
    ],
)
def test_a_place_in_joined_texts_is_a_place_in_each(
    texts: list[str], place: tuple[int, int], parts: list[tuple[int, tuple[int, int]]]
) -> None:
    assert [*pieces(texts, place)] == parts
