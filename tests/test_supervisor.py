"""Sockets that are had or refused, and children that never get ready. The rest is in tests/app, with real ones."""

import os
import socket

import pytest

from gateway.supervisor import Child, ControlSocket, StartError, Supervisor, bind, bind_each

KEY = "receivers::llm::endpoint"


def port_of(listening: socket.socket) -> int:
    return int(listening.getsockname()[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # loopback, and every interface
def test_a_bound_socket_takes_connections_at_once(host: str) -> None:
    with bind((host, 0), KEY) as listening, socket.create_connection(("127.0.0.1", port_of(listening)), 5):
        assert listening.getblocking() is False


def test_a_second_gateway_does_not_share_the_first_ones_port() -> None:
    with bind(("127.0.0.1", 0), KEY) as listening, pytest.raises(StartError) as caught:
        bind(("127.0.0.1", port_of(listening)), KEY)
    assert KEY in str(caught.value)
    assert "Stop what is using it" in str(caught.value)


def test_several_workers_have_sockets_of_their_own_at_one_address() -> None:
    sockets = bind_each(("127.0.0.1", 0), KEY, 3)
    assert len({port_of(each) for each in sockets}) == 1
    with pytest.raises(StartError, match=KEY):
        bind(("127.0.0.1", port_of(sockets[0])), KEY)
    for each in sockets[1:]:
        each.close()
    with socket.create_connection(("127.0.0.1", port_of(sockets[0])), 5):
        sockets[0].accept()[0].close()
    sockets[0].close()


def test_a_port_is_free_again_once_its_gateway_is_gone() -> None:
    with bind(("127.0.0.1", 0), KEY) as listening:
        port = port_of(listening)
        client = socket.create_connection(("127.0.0.1", port), 5)
        listening.setblocking(True)
        served, _ = listening.accept()
        served.close()  # leaves the connection in TIME_WAIT on our side
        client.close()
    bind(("127.0.0.1", port), KEY).close()


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_an_address_that_is_not_ours_is_a_start_error(host: str) -> None:
    with pytest.raises(StartError, match=KEY):
        bind((host, 4000), KEY)


def test_the_control_socket_is_this_users_alone_and_leaves_nothing_behind() -> None:
    control = ControlSocket()
    folder = os.path.dirname(control.path)
    assert os.stat(folder).st_mode & 0o077 == 0
    control.close()
    assert not os.path.exists(folder)


async def test_a_child_that_ends_before_it_is_ready_stops_the_start(capfd: pytest.CaptureFixture[str]) -> None:
    supervisor = Supervisor([[Child("control plane", ["no-such-command"])], [Child("worker", ["never-reached"])]])
    with pytest.raises(StartError, match="control plane did not start"):
        await supervisor.start()
    said = capfd.readouterr().err
    assert "no-such-command" in said
    assert "never-reached" not in said
