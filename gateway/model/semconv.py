"""Every attribute name, once, for who reads APIs and for who writes spans. Constants only.

Sources: [genai] open-telemetry/semantic-conventions-genai, docs/gen-ai/client-inference.md and events.yaml; [openai]
its OpenAI refinement; [core] open-telemetry/semantic-conventions (session, user, server, http, url, error, service);
[v1.41] the last core release that held GenAI names; [ours] our own, as the contract lists them.
"""

from typing import Final

# [genai] Identity
GEN_AI_OPERATION_NAME: Final = "gen_ai.operation.name"
GEN_AI_PROVIDER_NAME: Final = "gen_ai.provider.name"
GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
GEN_AI_RESPONSE_MODEL: Final = "gen_ai.response.model"
GEN_AI_RESPONSE_ID: Final = "gen_ai.response.id"
GEN_AI_CONVERSATION_ID: Final = "gen_ai.conversation.id"
GEN_AI_CONVERSATION_COMPACTED: Final = "gen_ai.conversation.compacted"
"""True where what the model had before it was a shorter view of the conversation; never false."""
GEN_AI_AGENT_ID: Final = "gen_ai.agent.id"
GEN_AI_PROMPT_NAME: Final = "gen_ai.prompt.name"
GEN_AI_PROMPT_VERSION: Final = "gen_ai.prompt.version"

# [genai] Usage. Input includes what the cache read and wrote; a number that was not said is left out, never 0.
GEN_AI_USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
GEN_AI_USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS: Final = "gen_ai.usage.cache_write.input_tokens"
GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
GEN_AI_USAGE_TEXT_INPUT_TOKENS: Final = "gen_ai.usage.text.input_tokens"
GEN_AI_USAGE_IMAGE_INPUT_TOKENS: Final = "gen_ai.usage.image.input_tokens"
GEN_AI_USAGE_AUDIO_INPUT_TOKENS: Final = "gen_ai.usage.audio.input_tokens"
GEN_AI_USAGE_TEXT_CACHE_READ_INPUT_TOKENS: Final = "gen_ai.usage.text.cache_read.input_tokens"
GEN_AI_USAGE_IMAGE_CACHE_READ_INPUT_TOKENS: Final = "gen_ai.usage.image.cache_read.input_tokens"
GEN_AI_USAGE_AUDIO_CACHE_READ_INPUT_TOKENS: Final = "gen_ai.usage.audio.cache_read.input_tokens"
GEN_AI_USAGE_TEXT_OUTPUT_TOKENS: Final = "gen_ai.usage.text.output_tokens"
GEN_AI_USAGE_IMAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.image.output_tokens"
GEN_AI_USAGE_AUDIO_OUTPUT_TOKENS: Final = "gen_ai.usage.audio.output_tokens"
# [v1.41] What `cache_write` was called: Phoenix 20.26 reads only this one.
GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS: Final = "gen_ai.usage.cache_creation.input_tokens"

# [openinference] Beside messages, where an exporter is told so
INPUT_VALUE: Final = "input.value"
OUTPUT_VALUE: Final = "output.value"

# [genai] Outcome
GEN_AI_RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
GEN_AI_RESPONSE_STATUS: Final = "gen_ai.response.status"

# [genai] Request settings
GEN_AI_REQUEST_STREAM: Final = "gen_ai.request.stream"
GEN_AI_REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
GEN_AI_REQUEST_TOP_P: Final = "gen_ai.request.top_p"
GEN_AI_REQUEST_FREQUENCY_PENALTY: Final = "gen_ai.request.frequency_penalty"
GEN_AI_REQUEST_PRESENCE_PENALTY: Final = "gen_ai.request.presence_penalty"
GEN_AI_REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
GEN_AI_REQUEST_SEED: Final = "gen_ai.request.seed"
GEN_AI_REQUEST_TOP_K: Final = "gen_ai.request.top_k"
GEN_AI_REQUEST_STOP_SEQUENCES: Final = "gen_ai.request.stop_sequences"
GEN_AI_REQUEST_REASONING_LEVEL: Final = "gen_ai.request.reasoning.level"
GEN_AI_REQUEST_PREVIOUS_RESPONSE_ID: Final = "gen_ai.request.previous_response.id"
GEN_AI_REQUEST_STREAM_CURSOR: Final = "gen_ai.request.stream_cursor"
GEN_AI_OUTPUT_TYPE: Final = "gen_ai.output.type"
GEN_AI_REQUEST_CHOICE_COUNT: Final = "gen_ai.request.choice.count"
GEN_AI_EMBEDDINGS_DIMENSION_COUNT: Final = "gen_ai.embeddings.dimension.count"
GEN_AI_REQUEST_ENCODING_FORMATS: Final = "gen_ai.request.encoding_formats"
# [openai]
OPENAI_API_TYPE: Final = "openai.api.type"
OPENAI_REQUEST_SERVICE_TIER: Final = "openai.request.service_tier"
OPENAI_RESPONSE_SERVICE_TIER: Final = "openai.response.service_tier"
OPENAI_RESPONSE_SYSTEM_FINGERPRINT: Final = "openai.response.system_fingerprint"
# [genai] its Bedrock refinement
AWS_BEDROCK_GUARDRAIL_ID: Final = "aws.bedrock.guardrail.id"

# [genai] Content, opt-in
GEN_AI_SYSTEM_INSTRUCTIONS: Final = "gen_ai.system_instructions"
GEN_AI_INPUT_MESSAGES: Final = "gen_ai.input.messages"
GEN_AI_OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
GEN_AI_TOOL_DEFINITIONS: Final = "gen_ai.tool.definitions"

# [genai] Tools: name and id always, content opt-in
GEN_AI_TOOL_NAME: Final = "gen_ai.tool.name"
GEN_AI_TOOL_TYPE: Final = "gen_ai.tool.type"
GEN_AI_TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
GEN_AI_TOOL_CALL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
GEN_AI_TOOL_CALL_RESULT: Final = "gen_ai.tool.call.result"

# [genai] The evaluation event
EVENT_GEN_AI_EVALUATION_RESULT: Final = "gen_ai.evaluation.result"
GEN_AI_EVALUATION_NAME: Final = "gen_ai.evaluation.name"
GEN_AI_EVALUATION_SCORE_LABEL: Final = "gen_ai.evaluation.score.label"
GEN_AI_EVALUATION_EXPLANATION: Final = "gen_ai.evaluation.explanation"

# [core]
SESSION_ID: Final = "session.id"
SESSION_PREVIOUS_ID: Final = "session.previous_id"
USER_ID: Final = "user.id"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
HTTP_REQUEST_METHOD: Final = "http.request.method"
HTTP_REQUEST_METHOD_ORIGINAL: Final = "http.request.method_original"
HTTP_RESPONSE_STATUS_CODE: Final = "http.response.status_code"
URL_PATH: Final = "url.path"
ERROR_TYPE: Final = "error.type"

# [core] Resource
SERVICE_NAME: Final = "service.name"
SERVICE_VERSION: Final = "service.version"
SERVICE_INSTANCE_ID: Final = "service.instance.id"

# [ours]
SPANGATE_SESSION_SOURCE: Final = "spangate.session.source"
SPANGATE_SESSION_CONFIDENCE: Final = "spangate.session.confidence"
SPANGATE_SESSION_SEQUENCE: Final = "spangate.session.sequence"
SPANGATE_SESSION_HEADER: Final = "spangate.session.header"
SPANGATE_EXCHANGE_ID: Final = "spangate.exchange.id"
SPANGATE_EXCHANGE_PARENT_ID: Final = "spangate.exchange.parent_id"
SPANGATE_EVENT_TYPE: Final = "spangate.event.type"
SPANGATE_PARTICIPANT_FROM: Final = "spangate.participant.from"
SPANGATE_PARTICIPANT_TO: Final = "spangate.participant.to"
SPANGATE_STATUS: Final = "spangate.status"
SPANGATE_OUTCOME: Final = "spangate.outcome"
SPANGATE_ASSESSMENTS: Final = "spangate.assessments"
SPANGATE_USAGE_STATE: Final = "spangate.usage.state"
SPANGATE_COST_USD: Final = "spangate.cost.usd"
"""By the operator's own prices; left out where it is not known. The conventions have no name for it."""
SPANGATE_USAGE_INJECTED: Final = "spangate.usage.injected"
SPANGATE_END: Final = "spangate.end"
SPANGATE_CAPTURE: Final = "spangate.capture"
SPANGATE_OVERHEAD_MS: Final = "spangate.overhead_ms"
SPANGATE_RESPONSE_FINISH_REASONS_RAW: Final = "spangate.response.finish_reasons_raw"
SPANGATE_COUNTED_INPUT_TOKENS: Final = "spangate.counted.input_tokens"
"""What a token-counting call answered. No usage: nothing was generated, and totals must not grow by asking."""
SPANGATE_REQUEST_GENERATE: Final = "spangate.request.generate"
"""False where no answer was asked for: over a WebSocket a client has the model get ready (`generate: false`), or says
what asks for nothing."""

# [ours] On the evaluation event
SPANGATE_AGENT_VERSION: Final = "spangate.agent.version"
SPANGATE_ROLE: Final = "spangate.role"
SPANGATE_DIRECTION: Final = "spangate.direction"
SPANGATE_RISK: Final = "spangate.risk"
SPANGATE_CONFIDENCE: Final = "spangate.confidence"
SPANGATE_TOOK_MS: Final = "spangate.took_ms"
SPANGATE_STATE: Final = "spangate.state"
SPANGATE_REVIEW_ID: Final = "spangate.review.id"
SPANGATE_REVIEW_DECISION: Final = "spangate.review.decision"
SPANGATE_REVIEW_REVIEWER: Final = "spangate.review.reviewer"
SPANGATE_REVIEW_WAITED_MS: Final = "spangate.review.waited_ms"
SPANGATE_RELEASED_BYTES: Final = "spangate.released_bytes"
