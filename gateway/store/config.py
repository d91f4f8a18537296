"""`extensions.storage`: where the store lies, how long it keeps what, and how much content. No I/O."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from gateway.units import ConfigModel, Duration

_SCHEME = "sqlite:///"


class StorageConfig(ConfigModel):
    url: str = "sqlite:///./data/spangate.db"
    retention: Duration = Field(default=30 * 86400.0, gt=0)
    content: Literal["full", "redacted", "none"] = "redacted"

    @field_validator("url")
    @classmethod
    def _sqlite(cls, url: str) -> str:
        if not url.startswith(_SCHEME) or url == _SCHEME:
            # SECURITY: a database URL may hold a password, so the message names the scheme alone.
            scheme = url.partition(":")[0]
            raise ValueError(
                f"a storage url of scheme {scheme!r} is not possible; today the store is SQLite: "
                "write sqlite:///./data/spangate.db (relative) or sqlite:////var/lib/spangate.db (absolute)"
            )
        return url

    @property
    def path(self) -> Path:
        return Path(self.url.removeprefix(_SCHEME))
