"""Which provider a request goes to, by its path. Pure."""

import re
from dataclasses import dataclass

from gateway.model.credentials import CREDENTIAL_SLOTS

_BY_PATH: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"/v1/messages(?:/|$)"), "anthropic"),
    (re.compile(r"/v1beta/(?:models|tunedModels|interactions)"), "gemini"),
    (re.compile(r"/v1(?:beta1)?/projects/"), "vertex"),
    (re.compile(r"/model/"), "bedrock"),
    (re.compile(r"/api/(?:chat|generate|embed|embeddings|tags)$"), "ollama"),
    (re.compile(r"/v2/(?:chat|embed|rerank)$"), "cohere"),
    (re.compile(r"/openai/(?:deployments/|v1/)"), "azure"),
)

_AZURES = "/openai/deployments/"
"""Azure's own path. OpenAI has none of the kind, so that its prefix is not meant, and Azure's key not for it."""
_OWNED_SLOTS = [(slot, owners) for slot, owners in CREDENTIAL_SLOTS.items() if owners is not None]


@dataclass(slots=True, frozen=True)
class Match:
    provider: str
    path: str
    """Below the provider's base URL."""


class Routes:
    """The configured providers, by prefix and by path."""

    def __init__(self, providers: dict[str, str], default: str) -> None:
        """`providers`: name → family (`openai`, `anthropic` …: whose paths and credential slot it has)."""
        self._families = providers
        self._default = default

    def match(self, path: str, header_map: dict[bytes, bytes]) -> Match | None:
        """None: no provider is meant, or a key of another provider's would go to it."""
        first, slash, rest = path[1:].partition("/")
        family = self._families.get(first)
        if family is not None and not (path.startswith(_AZURES) and family != "azure"):
            return Match(first, slash + rest if slash else "/")
        return self._told_by_path(path, header_map)

    def _told_by_path(self, path: str, header_map: dict[bytes, bytes]) -> Match | None:
        family = next((name for pattern, name in _BY_PATH if pattern.match(path)), None)
        if family is None:
            if path != "/v1" and not path.startswith("/v1/"):
                return None
            name: str | None = self._default
        else:
            name = next((name for name, its in self._families.items() if its == family), None)
        if name is None or name not in self._families:
            return None
        # SECURITY: told by path alone, a key must not reach a provider it was not meant for.
        for slot, owners in _OWNED_SLOTS:
            if slot in header_map and self._families[name] not in owners:
                return None
        return Match(name, path)

    @property
    def prefixes(self) -> list[str]:
        return [f"/{name}" for name in self._families]
