"""The built-in model on a free port, and the official SDKs pointed straight at it."""

from collections.abc import AsyncIterator

import anthropic
import openai
import pytest

from gateway.demo.model import BuiltinModel


@pytest.fixture
async def model() -> AsyncIterator[BuiltinModel]:
    async with BuiltinModel() as model:
        yield model


@pytest.fixture
async def openai_client(model: BuiltinModel) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{model.url}/v1", api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
async def anthropic_client(model: BuiltinModel) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=model.url, api_key="any", max_retries=0) as client:
        yield client
