"""Where clients put credentials, and whose APIs those places belong to. Data only."""

from collections.abc import Mapping

GOOGLES = frozenset({"gemini", "vertex"})
"""Their keys come in `x-goog-api-key` or in the query as `key` (Vertex: in express mode)."""
_AZURES = frozenset({"azure"})

CREDENTIAL_SLOTS: Mapping[bytes, frozenset[str] | None] = {
    b"authorization": None,
    b"x-api-key": frozenset({"anthropic"}),
    b"api-key": _AZURES,
    b"x-goog-api-key": GOOGLES,
    b"ocp-apim-subscription-key": _AZURES,
    b"x-amz-security-token": frozenset({"bedrock"}),
}
"""Headers, by lower-case name → the families of providers that they belong to; None: everybody's. The most usual first.

`ocp-apim-subscription-key` is Azure API Management's.
"""
IDENTIFYING_SLOTS = tuple(name for name in CREDENTIAL_SLOTS if name != b"x-amz-security-token")
"""Those that tell one caller from another by themselves; a session token comes beside a signature."""

CREDENTIAL_PARAMETERS: Mapping[str, frozenset[str]] = {"key": GOOGLES, "subscription-key": _AZURES}
"""The same for names in a query."""
