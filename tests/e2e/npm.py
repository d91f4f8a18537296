"""npm packages as their users run them: `npm ci` of a committed lock, once, and programs with an empty home."""

import asyncio
import os
import shutil
import signal
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, NamedTuple

MANIFESTS = Path(__file__).parent / "npm"
INSTALL_S = 300.0
"""Up to 10 s where npm has the packages already."""
_STAMP = "node_modules/.installed"
_OLDEST_NODE = 20


class Ended(NamedTuple):
    """What a program said until it ended by itself."""

    code: int
    out: str
    errors: str


async def installed(name: str) -> Path:
    """The manifest's folder, with what its lock pins in `node_modules`."""
    folder = MANIFESTS / name
    lock = folder / "package-lock.json"
    stamp = folder / _STAMP
    pinned = sha256(lock.read_bytes()).hexdigest()
    await _demand_node()
    if not stamp.exists() or stamp.read_text() != pinned:
        ended = await run(["npm", "ci", "--no-audit", "--no-fund"], folder, os.environ, INSTALL_S)
        assert ended.code == 0, f"`npm ci` in {folder} failed:\n{ended.errors[:4000]}"
        stamp.write_text(pinned)
    return folder


def bare(home: Path, **more: str) -> dict[str, str]:
    """An environment without anybody's settings, keys or proxies."""
    home.mkdir(parents=True, exist_ok=True)
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", **more}


async def run(command: list[str], folder: Path, environ: Mapping[str, str], within_s: float) -> Ended:
    """Runs it in the folder, without input. With all that it started it is ended after `within_s`."""
    with TemporaryFile() as out, TemporaryFile() as errors:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            env=dict(environ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=errors,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(within_s):
                code = await process.wait()
        except TimeoutError:
            said = f"{_all_of(out)}\n{_all_of(errors)}"
            raise AssertionError(f"{command[0]} did not end in {within_s} s, and said:\n{said}") from None
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        return Ended(code, _all_of(out), _all_of(errors))


def _all_of(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


async def _demand_node() -> None:
    remedy = f"`make e2e` needs Node.js {_OLDEST_NODE} or newer with npm: apt-get install nodejs npm, or nodejs.org"
    assert shutil.which("node"), f"there is no `node`: {remedy}"
    assert shutil.which("npm"), f"there is no `npm`: {remedy}"
    version = (await run(["node", "--version"], MANIFESTS, os.environ, 30)).out.strip()
    assert int(version.removeprefix("v").partition(".")[0]) >= _OLDEST_NODE, f"this is Node.js {version}: {remedy}"
