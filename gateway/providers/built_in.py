"""THE list of wire formats, the most specific first; the last one matches everything. No I/O."""

from collections.abc import Sequence

from gateway.contracts import Provider, Spoken
from gateway.providers.anthropic_batches import AnthropicBatches
from gateway.providers.anthropic_count import AnthropicCount
from gateway.providers.anthropic_messages import AnthropicMessages
from gateway.providers.anthropic_vertex import AnthropicVertex, AnthropicVertexCount
from gateway.providers.bedrock_converse import BedrockConverse
from gateway.providers.bedrock_count_tokens import BedrockCountTokens
from gateway.providers.bedrock_invoke import BedrockEmbeddings, BedrockInvoke
from gateway.providers.cohere_chat import CohereChat
from gateway.providers.cohere_embed import CohereEmbed, CohereRerank
from gateway.providers.gemini_count import GeminiCount
from gateway.providers.gemini_embed import GeminiEmbed
from gateway.providers.gemini_generate import GeminiGenerate
from gateway.providers.generic import Generic
from gateway.providers.mistral_agents import MistralAgents
from gateway.providers.mistral_fim import MistralFim
from gateway.providers.ollama_chat import OllamaChat
from gateway.providers.ollama_embed import OllamaEmbed
from gateway.providers.ollama_generate import OllamaGenerate
from gateway.providers.openai_chat import OpenAIChat
from gateway.providers.openai_completions import OpenAICompletions
from gateway.providers.openai_embeddings import OpenAIEmbeddings
from gateway.providers.openai_images import OpenAIImages
from gateway.providers.openai_moderations import OpenAIModerations
from gateway.providers.openai_realtime import OpenAIRealtime
from gateway.providers.openai_realtime_socket import RealtimeSocket
from gateway.providers.openai_responses import OpenAIResponses, OpenAIResponsesPoll
from gateway.providers.openai_responses_count import OpenAIResponsesCount
from gateway.providers.openai_responses_socket import ResponsesSocket
from gateway.providers.openai_speech import OpenAISpeech
from gateway.providers.openai_transcriptions import OpenAITranscriptions
from gateway.providers.vertex_predict import VertexEmbed, VertexPredict


def formats() -> Sequence[Provider]:
    return (
        OpenAIChat(),
        OpenAIResponses(),
        OpenAIResponsesCount(),
        OpenAIResponsesPoll(),
        OpenAICompletions(),
        OpenAIEmbeddings(),
        OpenAIImages(),
        OpenAISpeech(),
        OpenAITranscriptions(),
        OpenAIModerations(),
        OpenAIRealtime(),
        AnthropicMessages(),
        BedrockConverse(),
        BedrockEmbeddings(),
        BedrockInvoke(),
        BedrockCountTokens(),
        AnthropicCount(),
        AnthropicBatches(),
        AnthropicVertex(),
        AnthropicVertexCount(),
        GeminiGenerate(),
        GeminiEmbed(),
        GeminiCount(),
        VertexEmbed(),
        VertexPredict(),
        OllamaChat(),
        OllamaGenerate(),
        OllamaEmbed(),
        CohereChat(),
        CohereEmbed(),
        CohereRerank(),
        MistralFim(),
        MistralAgents(),
        Generic(),
    )


def sockets() -> Sequence[Spoken]:
    """What is understood on a WebSocket; by name their requests and responses are read by one of the formats."""
    return (ResponsesSocket(), RealtimeSocket())
