"""A real gateway in front of the built-in model, one pair a module: starting the processes costs over a second."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import yaml

from gateway.demo.model import BuiltinModel
from tests.e2e.gateway_process import Gateway

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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(model: BuiltinModel, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """Sessions, one enforcer, and the store."""
    folder = tmp_path_factory.mktemp("gateway")
    policy = folder / "codeword-guard.yaml"
    policy.write_text(yaml.safe_dump(_ENFORCER))
    config = {
        "processors": {"policy": {"files": [str(policy)]}},
        "service": {"pipelines": {"traces": {"processors": ["session", "policy"]}}},
    }
    async with Gateway(folder, model.url, config) as gateway:
        yield gateway
