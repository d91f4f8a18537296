"""What people are asked goes up, to every control plane that comes; what they decided comes down."""

import asyncio
import socket

from gateway.link.server import LinkServer
from gateway.link.uplink import Uplink
from gateway.model.review import Decided, Review
from tests.link.conftest import ControlPlane
from tests.link.fakes import Sink

REVIEW = Review("rv-1", "x1", "", "default", "keeper", "inlet", "codenames", "low", 1, 2, "block")


class Asked:
    def __init__(self) -> None:
        self.asked: asyncio.Queue[Review] = asyncio.Queue()
        self.withdrawn: asyncio.Queue[str] = asyncio.Queue()

    def ask(self, review: Review) -> None:
        self.asked.put_nowait(review)

    def withdraw(self, review_id: str) -> None:
        self.withdrawn.put_nowait(review_id)


async def test_a_review_outlives_a_control_plane_and_its_decision_comes_down(
    uplink: Uplink, control_plane: ControlPlane, sink: Sink, listening: socket.socket
) -> None:
    told: asyncio.Queue[Decided] = asyncio.Queue()
    uplink.on_decided = told.put_nowait
    first, second = Asked(), Asked()
    killed = control_plane(sink)
    killed.reviews = first
    uplink.ask(REVIEW)
    async with asyncio.timeout(60):
        assert (await first.asked.get()).id == "rv-1"
        await killed.stop()
        server: LinkServer = control_plane(Sink())
        server.reviews = second
        assert (await second.asked.get()).agent == "keeper"
        server.tell(Decided("rv-1", "decline", "ada", "no"))
        assert (await told.get()).decision == "decline"
        uplink.withdraw("rv-1")
        assert await second.withdrawn.get() == "rv-1"
