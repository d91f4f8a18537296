"""The words that the APIs themselves say in a request: nobody hides anything in them, so no agent is shown them.

Of all APIs together: a word of one of them is as harmless in another's request.
"""

from gateway.providers.known import ROLES
from gateway.providers.parts import OPAQUE

SHOWN_WHOLE = frozenset(
    {"messages", "system", "tools", "functions"}
    | {"input", "instructions", "prompt", "suffix", "keywords", "image", "images", "mask", "template"}
    | {"contents", "content", "systemInstruction", "system_instruction", "requests", "instances"}
    | {"generateContentRequest", "generate_content_request"}
    | {"promptVariables", "toolConfig", "inputText", "converse", "invokeModel", "body", "params"}
    | {"documents", "query", "texts", "inputs", "session", "response", "items"}
)
"""Fields beside which nothing is shown: whoever names one of them as read has shown agents all that is in it."""
BYTES_FIELDS = frozenset({"data", "file_data", "bytes", "images", "bytesBase64Encoded", "audio", "image", "mask"})
ID_FIELDS = frozenset({"id", "tool_call_id", "tool_use_id", "call_id", "item_id", "toolUseId", "sha256"})
"""Also our own, of what is kept of media."""
MESSAGE_NAMES = frozenset(
    {"role", "content", "name", "refusal", "reasoning_content", "reasoning", "tool_calls", "tool_call_id", "audio"}
    | {"function_call", "parts", "thinking", "images", "tool_name", "tool_plan"}
    | {"type", "text", "id", "status", "summary", "call_id", "arguments", "input", "output"}
)
"""Of a message's own fields."""
_OPENAI = {"type", "text", "id", "function", "custom", "arguments", "input", "image_url", "url", "detail", "file"}
_OPENAI |= {"input_audio", "data", "format", "file_id", "file_data", "filename", "auto", "low", "high"}
_ANTHROPIC = {"thinking", "redacted_thinking", "tool_use", "tool_result", "tool_use_id", "image", "document", "source"}
_ANTHROPIC |= {"base64", "media_type", "is_error", "title", "context", "citations", "index", "annotations"}
_RESPONSES = {"message", "input_text", "input_image", "input_file", "output_text", "summary_text", "reasoning_text"}
_RESPONSES |= {"function_call_output", "custom_tool_call", "custom_tool_call_output", "local_shell_call", "logprobs"}
_RESPONSES |= {"computer_call", "computer_call_output", "computer_screenshot", "image_generation_call", "mcp_call"}
_RESPONSES |= {"web_search_call", "file_search_call", "code_interpreter_call", "apply_patch_call", "item_reference"}
_RESPONSES |= {"compaction", "in_progress", "completed", "incomplete", "output_audio", "transcript", "object"}
_RESPONSES |= {"realtime.item", "local_shell_call_output", "apply_patch_call_output", "shell_call", "phase"}
_RESPONSES |= {
    "version",
    "variables",
    "shell_call_output",
    "final_answer",
    "commentary",
    "file_url",
    "caller",
    "created_by",
}
_GOOGLE = {"model", "thought", "inlineData", "inline_data", "mimeType", "mime_type", "fileData", "fileUri", "file_uri"}
_GOOGLE |= {"functionCall", "functionResponse", "function_response", "args", "response", "result", "executableCode"}
_GOOGLE |= {"executable_code", "codeExecutionResult", "code_execution_result", "language", "code", "outcome"}
_GOOGLE |= {"PYTHON", "OUTCOME_OK", "OUTCOME_FAILED", "outputDimensionality", "taskType", "task_type", "videoMetadata"}
_GOOGLE |= {"embedContentConfig", "referenceImages", "referenceImage", "RETRIEVAL_QUERY", "RETRIEVAL_DOCUMENT"}
_GOOGLE |= {"bytesBase64Encoded", "gcsUri", "willContinue", "scheduling"}
_BEDROCK = {"toolUse", "toolUseId", "toolResult", "success", "bytes", "s3Location", "uri", "reasoningContent", "json"}
_BEDROCK |= {"reasoningText", "guardContent", "qualifiers", "citationsContent", "cachePoint", "default", "video"}
_BEDROCK |= {"error", "ttl", "grounding_source", "query", "guard_content"}
_OURS = {"blob", "modality", "mime_type", "sha256", "size"}
_FORMATS = {"jpg", "png", "jpeg", "gif", "webp", "pdf", "csv", "html", "txt", "md", "doc", "docx", "xls", "xlsx"}
_FORMATS |= {"mov", "mkv", "mp4", "webm", "mpeg", "mpg", "wmv", "flv", "three_gp", "mp3", "m4a", "wav", "flac", "opus"}
_TYPES = {f"image/{name}" for name in ("png", "jpeg", "gif", "webp", "heic", "svg+xml")}
_TYPES |= {"audio/wav", "audio/mpeg", "audio/mp3", "video/mp4", "application/pdf", "text/plain", "application/json"}
_TYPES |= {f"data:{name};base64" for name in _TYPES}
VOCABULARY = (
    ROLES
    | SHOWN_WHOLE
    | MESSAGE_NAMES
    | OPAQUE
    | _OPENAI
    | _ANTHROPIC
    | _RESPONSES
    | _GOOGLE
    | _BEDROCK
    | _OURS
    | _FORMATS
    | _TYPES
)
