"""THE list of provider families: paths and credential slot of a provider, and where it is by default. Data only."""

from typing import NamedTuple


class Family(NamedTuple):
    base_url: str | None = None
    """Of the provider that bears the family's name and says no other; None: it is there once it is configured."""
    slot: bytes = b"Authorization"
    """The header that carries the key."""
    scheme: bytes = b"Bearer "
    """What stands before the key in it."""
    provider_name: str = ""
    """What the GenAI conventions call it, of the provider that bears the family's name; "" is the same name."""


FAMILIES: dict[str, Family] = {
    "openai": Family("https://api.openai.com"),
    "anthropic": Family("https://api.anthropic.com", b"x-api-key", b""),
    "gemini": Family("https://generativelanguage.googleapis.com", b"x-goog-api-key", b"", provider_name="gcp.gemini"),
    "vertex": Family(provider_name="gcp.vertex_ai"),
    "bedrock": Family(provider_name="aws.bedrock"),
    "azure": Family(None, b"api-key", b"", provider_name="azure.ai.openai"),
    "mistral": Family("https://api.mistral.ai", provider_name="mistral_ai"),
    "cohere": Family("https://api.cohere.com"),
    "ollama": Family("http://127.0.0.1:11434"),
    "generic": Family(),
}
