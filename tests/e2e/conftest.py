"""A real gateway in front of the built-in model, one pair a module: starting the processes costs over a second."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import yaml

from gateway.demo.model import BuiltinModel
from tests.e2e.gateway_process import Gateway, merged
from tests.e2e.phoenix import Phoenix
from tests.e2e.span_sink import SpanSink

CODEWORD = "nightjar"
_ENFORCER = {
    "agent": "codeword-guard",
    "role": "enforcer",
    "directions": ["inlet"],
    "detect": {"codenames": {"keywords": [CODEWORD]}},
    "intent": "block",
    "message": "This project is not for models.",
}


@pytest.fixture(scope="session")
def codeword() -> str:
    """What the gateway's one enforcer blocks."""
    return CODEWORD


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def model() -> AsyncIterator[BuiltinModel]:
    async with BuiltinModel() as model:
        yield model


@pytest.fixture(scope="module")
def enforcing(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Configuration of the one enforcer."""
    policy = tmp_path_factory.mktemp("policy") / "codeword-guard.yaml"
    policy.write_text(yaml.safe_dump(_ENFORCER))
    return {
        "processors": {"policy": {"files": [str(policy)]}},
        "service": {"pipelines": {"traces": {"processors": ["session", "policy"]}}},
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(
    model: BuiltinModel, enforcing: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    """Sessions, one enforcer, and the store."""
    async with Gateway(tmp_path_factory.mktemp("gateway"), model.url, enforcing) as gateway:
        yield gateway


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sink() -> AsyncIterator[SpanSink]:
    async with SpanSink() as sink:
        yield sink


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def exporting(
    model: BuiltinModel, sink: SpanSink, enforcing: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    """The same, with its spans in the sink too."""
    config = merged(enforcing, sink.config)
    async with Gateway(tmp_path_factory.mktemp("exporting"), model.url, config) as gateway:
        yield gateway


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def phoenix(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Phoenix]:
    """One for all: it takes 17 s to start. Each module has a project of its own."""
    async with Phoenix(tmp_path_factory.mktemp("phoenix")) as phoenix:
        yield phoenix
