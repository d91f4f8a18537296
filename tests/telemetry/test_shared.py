"""Attributes that many spans share are built once, and nothing long or unasked for is kept."""

from gateway.model.span import Attribute
from gateway.telemetry.shared import remembered


class Counting:
    """Builds one attribute of a value, and counts how often."""

    def __init__(self) -> None:
        self.built = 0

    def __call__(self, value: str) -> tuple[Attribute, ...]:
        self.built += 1
        return (("key", value),)


def test_the_same_values_share_one_block() -> None:
    build = Counting()
    block = remembered(build)
    assert block("a") is block("a")
    assert block("b").attributes == (("key", "b"),)
    assert build.built == 2


def test_a_long_value_is_sent_but_not_kept() -> None:
    build = Counting()
    block = remembered(build)
    long = "x" * 100_000
    assert block(long).attributes == block(long).attributes == (("key", long),)
    assert build.built == 2


def test_texts_in_a_list_count_too() -> None:
    def build(*values: str) -> tuple[Attribute, ...]:
        return (("key", values),)

    block = remembered(build)
    assert block("x" * 2000) is not block("x" * 2000)
    assert block("x" * 20) is block("x" * 20)
    empty = [""] * 1000
    assert block(*empty) is not block(*empty)


def test_what_is_asked_for_stays_and_what_is_not_goes() -> None:
    build = Counting()
    block = remembered(build)
    often, once = block("often"), block("once")
    for number in range(5000):
        block(str(number))
        block("often")
    assert block("often") is often
    assert block("once") is not once
