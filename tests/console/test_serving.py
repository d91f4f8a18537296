"""Endpoints as somebody can open them."""

import pytest

from gateway.console.serving import listens_everywhere, openable


@pytest.mark.parametrize(
    ("endpoint", "opened"),
    [
        ("0.0.0.0:4001", "127.0.0.1:4001"),
        ("[::]:4001", "[::1]:4001"),
        ("[::0]:4001", "[::1]:4001"),
        ("127.0.0.1:4001", "127.0.0.1:4001"),
        ("[::1]:4001", "[::1]:4001"),
        ("192.0.2.7:80", "192.0.2.7:80"),
        ("gateway.example:4001", "gateway.example:4001"),
    ],
)
def test_an_address_that_means_all_interfaces_is_shown_as_this_machines_own(endpoint: str, opened: str) -> None:
    assert openable(endpoint) == opened
    assert listens_everywhere(endpoint) is (opened != endpoint)
