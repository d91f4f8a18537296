"""What may be written to name a Valkey, and what is said of what may not."""

import pytest

from gateway.state.config import SessionStateConfig
from gateway.state.valkey_url import ValkeyUrl, valkey_url


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("valkey://cache", ValkeyUrl((("cache", 6379),))),
        ("redis://cache:7000/3", ValkeyUrl((("cache", 7000),), db=3)),
        ("valkeys://me:p%40ss@cache:7000", ValkeyUrl((("cache", 7000),), True, "me", "p@ss")),
        ("rediss://:secret@cache", ValkeyUrl((("cache", 6379),), True, None, "secret")),
        ("valkey://a:1,b,[::1]:3/", ValkeyUrl((("a", 1), ("b", 6379), ("::1", 3)))),
        ("valkey://[::1]", ValkeyUrl((("::1", 6379),))),
    ],
)
def test_a_url_says_where_it_is(written: str, meant: ValkeyUrl) -> None:
    assert valkey_url(written) == meant


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("valkey:", "names no host"),
        ("valkey:///0", "names no host"),
        ("valkey://me:hunter2@", "a host without a name"),
        ("valkey://me:hunter2@cache:x", "a port that is none"),
        ("valkey://me:hunter2@cache:70000", "a port that is none"),
        ("valkey://a,,b", "a host without a name"),
        ("valkey://cache/zero", "number of a database"),
        ("valkey://a,b/1", "leave the number out"),
        ("valkey://me:hunter2@cache?ssl=1", "behind ?"),
        ("valkey://[::1", "cannot be read"),
    ],
)
def test_a_bad_one_is_refused_with_the_remedy_and_without_the_password(written: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("?", r"\?")) as caught:
        valkey_url(written)
    assert "hunter2" not in str(caught.value)
    assert "valkey://HOST:6379" in str(caught.value) or "leave the number out" in str(caught.value)


def test_a_configuration_does_not_show_its_password() -> None:
    assert "hunter2" not in repr(SessionStateConfig(url="valkey://me:hunter2@cache"))
