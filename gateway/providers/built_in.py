"""THE list of wire formats, the most specific first; the last one matches everything. No I/O."""

from collections.abc import Sequence

from gateway.contracts import Provider
from gateway.providers.anthropic_messages import AnthropicMessages
from gateway.providers.bedrock_converse import BedrockConverse
from gateway.providers.bedrock_count_tokens import BedrockCountTokens
from gateway.providers.bedrock_invoke import BedrockEmbeddings, BedrockInvoke
from gateway.providers.generic import Generic
from gateway.providers.openai_chat import OpenAIChat
from gateway.providers.openai_completions import OpenAICompletions
from gateway.providers.openai_embeddings import OpenAIEmbeddings
from gateway.providers.openai_images import OpenAIImages
from gateway.providers.openai_moderations import OpenAIModerations
from gateway.providers.openai_responses import OpenAIResponses, OpenAIResponsesPoll
from gateway.providers.openai_speech import OpenAISpeech
from gateway.providers.openai_transcriptions import OpenAITranscriptions


def formats() -> Sequence[Provider]:
    return (
        OpenAIChat(),
        OpenAIResponses(),
        OpenAIResponsesPoll(),
        OpenAICompletions(),
        OpenAIEmbeddings(),
        OpenAIImages(),
        OpenAISpeech(),
        OpenAITranscriptions(),
        OpenAIModerations(),
        AnthropicMessages(),
        BedrockConverse(),
        BedrockEmbeddings(),
        BedrockInvoke(),
        BedrockCountTokens(),
        Generic(),
    )
