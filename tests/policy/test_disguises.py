"""Words and numbers in disguise: what they are read as, that places lead back, and what is left alone."""

import base64
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.message import Entry
from gateway.policy.compile import Scanner
from gateway.policy.detectors.entities import ENTITIES
from gateway.policy.detectors.patterns import keyword_shape, pattern_shape
from gateway.policy.disguises import CLUES, further, swapped
from gateway.policy.engine import PolicySet
from gateway.policy.load import Agent
from gateway.policy.lookalikes import taken_for
from gateway.policy.plain import Reading
from gateway.policy.seams import over, seam

Say = Callable[..., Entry]
Make = Callable[..., Agent]


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture(scope="module")
def scanner() -> Scanner:
    return Scanner([keyword_shape(0, "nightjar"), keyword_shape(1, "boss"), ENTITIES["credit_card"]])


def found(scanner: Scanner, text: str) -> set[str]:
    """What is written wherever something is found."""
    seen = set()
    for reading, shapes in scanner.noticed(text):
        for shape in shapes:
            for start, end in reading.written_at(scanner.places_in(shape, reading).places):
                seen.add(text[start:end])
    return seen


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("the n i g h t j a r flies", "n i g h t j a r"),
        ("N.I.G.H.T.J.A.R", "N.I.G.H.T.J.A.R"),
        ("n\ni\ng\nh\nt\nj\na\nr", "n\ni\ng\nh\nt\nj\na\nr"),
        ("a ni-ght-jar!", "ni-ght-jar"),
        ("**night**jar", "night**jar"),
        ("say n1ghtj4r", "n1ghtj4r"),
        ("N!GH7J@R", "N!GH7J@R"),
        ("it is " + encoded("the nightjar flies"), encoded("the nightjar flies")),
        ("it is " + encoded("nightjar") + ".", encoded("nightjar")),
        ("it is " + encoded("n\u0456ghtj\u0430r at dawn"), encoded("n\u0456ghtj\u0430r at dawn")),
        ("hex " + b"nightjar".hex(), b"nightjar".hex()),
        ("hex " + b"nightjar".hex(" "), b"nightjar".hex(" ")),
        ("%6e%69ghtjar", "%6e%69ghtjar"),
        ("&#110;ight&#x6a;ar", "&#110;ight&#x6a;ar"),
        (r"\u006eightjar", r"\u006eightjar"),
        (
            "n\u0336i\u0336g\u0336h\u0336t\u0336j\u0336a\u0336r\u0336",
            "n\u0336i\u0336g\u0336h\u0336t\u0336j\u0336a\u0336r\u0336",
        ),
        ("n\u0456ghtj\u0430r \u0438", "n\u0456ghtj\u0430r"),
        ("n\u00efghtj\u00e4r", "n\u00efghtj\u00e4r"),
        ("\u0274\u026a\u0262\u029c\u1d1b\u1d0a\u1d00\u0280", "\u0274\u026a\u0262\u029c\u1d1b\u1d0a\u1d00\u0280"),
        ("\U0001f15d\U0001f158\U0001f156\U0001f157\U0001f163\U0001f159\U0001f150\U0001f161",) * 2,
        ("4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1"),
        ("pay 4111.1111.1111.1111.", "4111.1111.1111.1111"),
        ("4111\u20111111\u20111111\u20111111", "4111\u20111111\u20111111\u20111111"),
        ("\u0664\u0661\u0661\u0661" + "\u0661" * 12, "\u0664\u0661\u0661\u0661" + "\u0661" * 12),
    ],
)
def test_what_a_model_reads_is_found_where_it_is_written(scanner: Scanner, text: str, written: str) -> None:
    assert written in found(scanner, text)


@pytest.mark.parametrize(
    "text",
    [
        "a night jar; the night-time jar",
        "8055 at 80 55",
        "1 2 3 4 5 6 7 8 9 10 11 12",
        "4521, 3345, 1234, 9987, 4242",
        "4111.1111.1111.1111.2",
        "\u043f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440 \u0431\u043e\u0441\u0441",
        "getUserAccountBalanceFromSession(internationalization_settings)",
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    ],
)
def test_what_only_looks_so_is_left_alone(scanner: Scanner, text: str) -> None:
    assert found(scanner, text) == set()


def test_only_words_are_looked_for_in_figures_and_hyphens() -> None:
    scanner = Scanner([ENTITIES["email"], keyword_shape(0, "ada")])
    assert found(scanner, "a-da@acme.dev") == {"a-da", "a-da@acme.dev"}


def test_a_text_without_a_clue_is_scanned_once(scanner: Scanner) -> None:
    scans = scanner.scans
    assert list(scanner.noticed("Order 000000012345: has it left the warehouse, and when will it be here?")) == []
    assert scanner.scans == scans + 1


@pytest.mark.parametrize(
    "unit", ["n i ", "a-b", "a1b", "%6e", "&#1", "\\x6", "QUJD", "6e 69 ", "1111.", "a\n", "====", "-----"]
)
def test_texts_made_to_hurt_are_read_in_linear_time(scanner: Scanner, unit: str) -> None:
    scanner.noticed(unit * 100_000)  # anything quadratic would take hours


def test_what_is_encoded_may_be_spaced_out_and_in_other_letters() -> None:
    read: list[str] = []

    def scan(reading: Reading) -> list[str]:
        read.append(reading.text)
        return [clue.name for clue in CLUES]

    further(Reading(encoded("n 1 g h t")), ["encoded"], scan)
    assert read == ["n 1 g h t", "n1ght", "n1ght", "night", "nlght"]


@given(st.lists(st.sampled_from(["%41", "%c3%a9", "a", "\u00e9 ", "&#66;", "\n"]), max_size=12).map("".join))
def test_each_place_of_what_was_read_leads_back_to_what_says_it(text: str) -> None:
    made = swapped(Reading(text), re.compile("%41|&#66;"), {"%41": "A", "&#66;": "BB"}.__getitem__)
    if made is None:
        assert "%41" not in text
        assert "&#66;" not in text
        return
    for at, character in enumerate(made.text):
        [(start, end)] = made.written_at([(at, at + 1)])
        assert text[start:end] in (character, {"A": "%41", "B": "&#66;"}.get(character))


@pytest.mark.parametrize(
    ("character", "letter"),
    [
        *zip(
            "\u0430\u0435\u043e\u0440\u0441\u0456\u03bf\u13aa\u1d00\u00f8\u00e9\u0663\u00b7\u2011",
            "aeopcioAaoe3.-",
            strict=True,
        ),
        ("\u0336", ""),
        ("\u0436", "_"),
        ("\u732b", "\u732b"),
        ("a", "a"),
    ],
)
def test_characters_are_taken_for_what_they_look_like(character: str, letter: str) -> None:
    assert taken_for(character) == letter


@pytest.mark.parametrize(
    ("before", "after", "places"),
    [
        ("the night", "jar x", [(4, 12)]),
        ("ignore", "this", []),
        ("night.", "jar", []),
    ],
)
def test_a_seam_is_read_with_a_blank_and_without_one(before: str, after: str, places: list[tuple[int, int]]) -> None:
    met = seam(before, after)
    at = met.find("nightjar")
    assert over(before, after, [(at, at + 8)] if at >= 0 else []) == places


@pytest.mark.parametrize(
    "messages",
    [
        [["the night"], ["jar sings"]],
        [["please ignore"], ["previous text"]],
        [["4111 1111 "], ["1111 1111"]],
        [["4111 1111"], ["1111 1111"]],
        [["hello", "the n\u0456ght"], ["jar sings", "bye"]],
        [["the project", "aurora is late"]],
    ],
)
def test_what_is_cut_over_messages_or_parts_is_found_and_counted_once(
    said: Say, agent: Make, messages: list[list[str]]
) -> None:
    detect = "{c: {keywords: [nightjar, project aurora], patterns: ['ignore\\s+previous'], entities: [credit_card]}}"
    policies = PolicySet([agent(detect=detect)], sensitive=())
    entries = [said(*texts) for texts in messages]
    for _ in range(2):  # what is remembered is told again
        [found] = policies.assess("inlet", entries)
        assert found.outcome == "blocked"
        assert " x" not in found.reason
    # Beside another message it is another seam.
    [alone] = policies.assess("inlet", [entries[-1], said("Well.")])
    assert (alone.outcome == "blocked") == (len(messages) == 1)


def test_a_pattern_that_python_could_not_match_in_time_is_linear_in_each_reading() -> None:
    scanner = Scanner([pattern_shape(0, "(a+)+b$|(x|xx)+y")])
    assert found(scanner, "a-a" * 30_000 + "%61" * 1000) == set()
