"""What a user writes about session state. No I/O."""

from typing import Annotated

from pydantic import AfterValidator, Field

from gateway.units import ConfigModel


def _engine(url: str) -> str:
    if url != "memory:":
        engine = url.partition(":")[0]
        raise ValueError(f"{engine}: is no engine for session state in this version; valid: memory:")
    return url


class SessionStateConfig(ConfigModel):
    url: Annotated[str, AfterValidator(_engine)] = "memory:"
    """memory: is lost when the process ends, and not shared."""
    max_sessions: int = Field(default=20_000, ge=1)
    """The least recently used ones are forgotten first; 800 bytes for a single call, up to 8 KB for 30 turns."""

    @property
    def shared(self) -> bool:
        """Whether all workers remember the same sessions."""
        return self.url != "memory:"
