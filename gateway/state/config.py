"""What a user writes about session state. No I/O."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from gateway.state.valkey_url import ValkeyUrl, is_valkey, valkey_url
from gateway.units import ConfigModel, PositiveDuration

_MEMORY_SESSIONS, _SHARED_SESSIONS = 20_000, 1_000_000


def _engine(url: str) -> str:
    engine, _, place = url.partition(":")
    if url == "memory:" or (engine == "lmdb" and place):
        return url
    if engine == "lmdb":
        raise ValueError("lmdb: names no folder; write one such as lmdb:./data/state")
    if is_valkey(url):
        valkey_url(url)
        return url
    raise ValueError(
        f"{engine}: is no engine for session state in this version; valid: memory:, lmdb:PATH, valkey://HOST:6379"
    )


class SessionStateConfig(ConfigModel):
    url: Annotated[str, AfterValidator(_engine)] = Field(default="memory:", repr=False)
    """memory: is one worker's own, and lost when the process ends. lmdb:PATH, a folder, is shared and kept.
    valkey://HOST:6379 (redis://; valkeys://, rediss:// with TLS) is shared by gateways of several machines."""
    max_sessions: int | None = Field(default=None, ge=1)
    """The least recently used ones are forgotten first. None: 20,000 in memory, of 800 bytes for a single
    call and up to 8 KB for 30 turns; 1,000,000 in LMDB. Beside Valkey it is what each worker knows by itself."""
    keep: PositiveDuration = 30 * 86400.0
    """How long a session is known after its latest input; in memory only the number counts."""
    timeout: PositiveDuration = 0.5
    """How long Valkey may take to answer, until a session is the worker's own."""
    ca_file: str | None = None
    """Whom Valkey's certificate must be from; None: the machine's authorities."""

    @property
    def folder(self) -> Path | None:
        """Of LMDB's files."""
        return Path(self.url.removeprefix("lmdb:")) if self.url.startswith("lmdb:") else None

    @property
    def valkey(self) -> ValkeyUrl | None:
        return valkey_url(self.url) if is_valkey(self.url) else None

    @property
    def shared(self) -> bool:
        """Whether all workers remember the same sessions."""
        return self.url != "memory:"

    @property
    def limit(self) -> int:
        return self.max_sessions or (_SHARED_SESSIONS if self.folder is not None else _MEMORY_SESSIONS)
