"""Guessing tokens ends after a few, for the address it comes from and for nobody else."""

from pathlib import Path

import pytest

from gateway.console.attempts import WINDOW_S, WRONG_MAX, Attempts, TooManyAttemptsError
from gateway.console.auth import Auth, admin_token
from tests.console.conftest import TOKEN, Client


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def attempts(clock: Clock) -> Attempts:
    return Attempts(clock)


def _exhaust(attempts: Attempts, address: str) -> None:
    for _ in range(WRONG_MAX):
        attempts.check(address)
        attempts.wrong(address)


def _waits(attempts: Attempts, address: str) -> bool:
    try:
        attempts.check(address)
    except TooManyAttemptsError:
        return True
    return False


def test_an_address_waits_for_the_rest_of_its_window_and_no_longer(attempts: Attempts, clock: Clock) -> None:
    _exhaust(attempts, "192.0.2.1")
    clock.now_s += 100.5
    with pytest.raises(TooManyAttemptsError, match="wait 200 seconds") as said:
        attempts.check("192.0.2.1")
    assert said.value.wait_s == 200
    clock.now_s = 1000.0 + WINDOW_S
    attempts.check("192.0.2.1")


def test_a_right_token_begins_anew(attempts: Attempts) -> None:
    for _ in range(3):
        for _ in range(WRONG_MAX - 1):
            attempts.wrong("192.0.2.1")
        attempts.right("192.0.2.1")
    assert not _waits(attempts, "192.0.2.1")


@pytest.mark.parametrize(
    ("guesser", "other", "waits"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),  # one subscriber's /64
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::1", True),
        ("", "not an address", True),
        ("", "192.0.2.1", False),
    ],
)
def test_an_address_waits_for_what_came_from_it(attempts: Attempts, guesser: str, other: str, waits: bool) -> None:
    _exhaust(attempts, guesser)
    assert _waits(attempts, other) is waits


def test_addresses_are_bounded_and_those_that_made_room_are_counted(attempts: Attempts, clock: Clock) -> None:
    for number in range(1005):
        attempts.wrong(f"10.0.{number // 256}.{number % 256}")
    assert (len(attempts), attempts.forgotten) == (1000, 5)
    clock.now_s += WINDOW_S
    attempts.wrong("192.0.2.1")
    assert (len(attempts), attempts.forgotten) == (1000, 5), "a window that was over anyway is no loss"


def test_the_right_token_is_taken_from_another_address_and_not_from_the_guessers(tmp_path: Path, clock: Clock) -> None:
    auth = Auth(admin_token(tmp_path, TOKEN), clock)
    for _ in range(WRONG_MAX):
        assert not auth.accepts("wrong", "192.0.2.1")
    with pytest.raises(TooManyAttemptsError):
        auth.accepts(TOKEN, "192.0.2.1")
    assert auth.accepts(TOKEN, "192.0.2.2")


def test_a_token_that_cannot_be_guessed_is_taken_whatever_else_was_shown(tmp_path: Path, clock: Clock) -> None:
    made = admin_token(tmp_path, None)
    assert made.made is not None
    for auth in (Auth(made, clock), Auth(admin_token(tmp_path, None), clock)):
        for _ in range(WRONG_MAX):
            assert not auth.accepts("wrong", "192.0.2.1")
        with pytest.raises(TooManyAttemptsError):
            auth.accepts("wrong", "192.0.2.1")
        assert auth.accepts(made.made, "192.0.2.1")


async def test_the_login_says_429_and_when_to_come_back(stranger: Client) -> None:
    for _ in range(WRONG_MAX):
        assert (await stranger.post("/login", data={"token": "wrong"})).status == 401
    answer = await stranger.post("/login", data={"token": TOKEN})
    assert answer.status == 429
    assert 0 < int(answer.headers["Retry-After"]) <= WINDOW_S
    assert "Set-Cookie" not in answer.headers
    assert "seconds, then try again" in await answer.text()


async def test_the_api_counts_too(stranger: Client) -> None:
    for _ in range(WRONG_MAX):
        assert (await stranger.get("/api/v1/sessions", headers={"Authorization": "Bearer wrong"})).status == 401
    answer = await stranger.get("/api/v1/sessions", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status == 429
    assert int(answer.headers["Retry-After"]) > 0
    assert (await answer.json())["error"]["code"] == "too_many_attempts"


async def test_whoever_is_logged_in_stays_so(stranger: Client) -> None:
    await stranger.post("/login", data={"token": TOKEN})
    for _ in range(WRONG_MAX + 1):
        await stranger.post("/login", data={"token": "wrong"})
    assert (await stranger.get("/api/v1/sessions")).status == 200


async def test_an_address_in_a_header_is_nobodys_address(stranger: Client) -> None:
    for number in range(WRONG_MAX):
        await stranger.post("/login", data={"token": "wrong"}, headers={"X-Forwarded-For": f"10.0.0.{number}"})
    answer = await stranger.post("/login", data={"token": TOKEN}, headers={"X-Forwarded-For": "10.0.1.1"})
    assert answer.status == 429


async def test_another_site_cannot_use_up_a_browsers_attempts(stranger: Client) -> None:
    for _ in range(WRONG_MAX + 1):
        await stranger.post("/login", data={"token": "wrong"}, headers={"Sec-Fetch-Site": "cross-site"})
    assert (await stranger.post("/login", data={"token": TOKEN}, allow_redirects=False)).status == 303


async def test_asking_without_any_token_is_no_attempt(stranger: Client) -> None:
    for _ in range(WRONG_MAX + 1):
        await stranger.get("/api/v1/sessions")
        await stranger.get("/")
    assert (await stranger.post("/login", data={"token": TOKEN}, allow_redirects=False)).status == 303
