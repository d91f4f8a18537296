"""THE list of wire formats, the most specific first; the last one matches everything. No I/O."""

from collections.abc import Sequence

from gateway.contracts import Provider
from gateway.providers.anthropic_messages import AnthropicMessages
from gateway.providers.generic import Generic
from gateway.providers.openai_chat import OpenAIChat


def formats() -> Sequence[Provider]:
    return (
        OpenAIChat(),
        AnthropicMessages(),
        Generic(),
    )
