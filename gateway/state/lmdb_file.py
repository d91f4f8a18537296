"""One LMDB map that several processes write: opened, grown, set aside when it is unreadable. Knows no sessions.

What was committed survives the death of any process at any moment (`kill -9` too): a commit is in the machine's memory
as soon as it returns, and a commit that was not finished is no commit. It does not survive a power cut: nothing waits
for the disk. So a map that was in use when the machine went down is set aside, and not trusted.

The file is as large as the map and its blocks are reserved: written through a map, a full disk would be a fatal signal.
Whoever opens or grows it holds the door, and only grows it; so the file's size is what all maps agree on.
"""

import contextlib
import fcntl
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias, TypeVar

import lmdb
import structlog

from gateway.state.blocks import GRAIN, reserve
from gateway.state.file_lock import FileLock, LockBusyError

_log = structlog.get_logger("gateway.state")

_START_BYTES = 16 << 20
_GROWS_BY = 4
"""A quarter of its size each time, and never less than at the start."""
_MAX_READERS = 8
"""Nobody only reads: a reader that dies would keep pages from being used again."""
_LOCK_BYTES = 16 << 10
OPENING_WAIT_S, _WAIT_S = 10.0, 0.5
"""Others reserve blocks and write to the disk while they open it; a call takes microseconds."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_CLEAN, _BROKEN = "clean", "broken"
_VERSION_KEY = b"version"
_UNREADABLE = (lmdb.InvalidError, lmdb.VersionMismatchError, lmdb.CorruptedError, lmdb.PageNotFoundError)

Transaction: TypeAlias = "lmdb.Transaction[bytes]"
Result = TypeVar("Result")


class StateFileError(Exception):
    """The map cannot be used at the moment; the message says what is wrong, and of what."""


class StateBusyError(StateFileError):
    """Another process holds it and does not go on; the map as it is open here is as good as before."""


class StateFile:
    """A process opens a folder once, on a disk of its own machine: a network file system keeps no such locks.

    Calls block: some microseconds, and as long as another process writes. One that dies while it writes lets the others
    on; for one that somebody stops there (SIGSTOP) a call waits half a second, later ones 5 ms, and fails.
    """

    def __init__(
        self,
        folder: Path,
        version: str,
        tables: Sequence[str],
        start_bytes: int = _START_BYTES,
        wait_s: float = OPENING_WAIT_S,
    ) -> None:
        """`version`: of what is in the tables; a map with another one is set aside. `wait_s`: for others that open it.
        Raises StateFileError."""
        self.counters: Counter[str] = Counter()
        """`map_grown`: by this process; `map_set_aside`."""
        self._folder = folder
        self._data = folder / "data.mdb"
        self._version = version.encode()
        self._names = [name.encode() for name in tables]
        self._step = start_bytes
        self.tables: dict[str, lmdb._Database] = {}
        """By name; each is given to the calls of a transaction as `db`."""
        try:
            with contextlib.ExitStack() as opened:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._door = FileLock(folder / "door.lock", wait_s)
                opened.callback(self._door.close)
                self._turn = FileLock(folder / "write.lock", wait_s)
                opened.callback(self._turn.close)
                self._users = os.open(folder / "users.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                opened.callback(os.close, self._users)
                with self._door.held():
                    self._environment = self._opened()
                self._files = opened.pop_all()
        except LockBusyError as error:
            raise self._busy(error) from error
        except (OSError, lmdb.Error) as error:
            raise StateFileError(f"session state in {folder} cannot be opened: {error}") from error
        self._door.wait_s = self._turn.wait_s = _WAIT_S

    def write(self, work: Callable[[Transaction], Result]) -> Result:
        """What `work` makes of one transaction, committed; nothing else is written meanwhile. It is called again in
        a new transaction where the map had to grow, so it may change nothing but that. Raises StateFileError."""
        while True:
            try:
                self._turn.acquire()
            except LockBusyError as error:
                raise self._busy(error) from error
            try:
                with self._environment.begin(write=True) as transaction:
                    return work(transaction)
            except (lmdb.MapFullError, lmdb.MapResizedError) as error:
                full = isinstance(error, lmdb.MapFullError)
            except lmdb.Error as error:
                if isinstance(error, _UNREADABLE):
                    with contextlib.suppress(OSError):
                        self._say(_BROKEN)
                raise StateFileError(f"session state in {self._folder} fails: {error}") from error
            finally:
                self._turn.release()
            self._grow(full)

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return self._size

    @property
    def used(self) -> int:
        """Bytes of the pages that were ever written; what is beyond them is reserved."""
        return _used(self._environment)

    def close(self) -> None:
        """Have all of it on the disk, and leave. Who leaves last says that the machine may go down."""
        with self._files, contextlib.suppress(lmdb.Error, OSError, LockBusyError):
            try:
                with self._door.held():
                    self._environment.sync(True)
                    self._environment.close()
                    if self._alone() and self._said() != _BROKEN:
                        self._say(_CLEAN)
            finally:
                self._environment.close()

    def _busy(self, error: LockBusyError) -> StateBusyError:
        return StateBusyError(f"session state in {self._folder} cannot be had: {error}")

    # Opening

    def _opened(self) -> lmdb.Environment:
        """Call at the door."""
        alone = self._alone()
        if alone and self._data.exists() and self._said() not in (_CLEAN, _boot_id()):
            self._set_aside("the machine went down while it was in use, or a page of it could not be read")
        try:
            environment = self._mapped(alone)
        except _UNREADABLE as error:
            if not alone:
                raise
            self._set_aside(str(error))
            environment = self._mapped(alone)
        if alone:
            self._say(_boot_id())
        fcntl.flock(self._users, fcntl.LOCK_SH)
        return environment

    def _mapped(self, alone: bool) -> lmdb.Environment:
        written = self._prepared() if alone else self._data.stat().st_size
        self._size = self._data.stat().st_size
        environment = lmdb.Environment(
            str(self._folder),
            map_size=self._size,
            max_dbs=len(self._names) + 1,
            max_readers=_MAX_READERS,
            mode=0o600,
            sync=False,
            metasync=False,
            map_async=True,
            writemap=True,
            readahead=False,
        )
        try:
            if _used(environment) > written:
                raise lmdb.CorruptedError("it is shorter than it says")
            with self._turn.held():
                self.tables = self._tables(environment)
        except BaseException:
            environment.close()
            raise
        return environment

    def _tables(self, environment: lmdb.Environment) -> "dict[str, lmdb._Database]":
        with environment.begin(write=True) as transaction:
            fresh = not transaction.stat()["entries"]
            meta = environment.open_db(b"meta", transaction)
            found = self._version if fresh else transaction.get(_VERSION_KEY, db=meta)
            if found != self._version:
                what = (
                    f"its version is {found!r}, this gateway's {self._version!r}"
                    if found
                    else "it is another program's"
                )
                raise lmdb.VersionMismatchError(what)
            transaction.put(_VERSION_KEY, self._version, db=meta, overwrite=False)
        return {name.decode(): environment.open_db(name) for name in self._names}

    def _prepared(self) -> int:
        """Have files whose blocks are there before anybody maps them; the size that the map's had until now."""
        lock = self._folder / "lock.mdb"
        if not lock.exists():
            reserve(lock, 0, _LOCK_BYTES)
        if not self._data.exists():
            lmdb.Environment(str(self._folder), map_size=1 << 20, mode=0o600, max_readers=_MAX_READERS).close()
        size = self._data.stat().st_size
        if size < self._step:
            reserve(self._data, size, self._step)
        return size

    def _set_aside(self, reason: str) -> None:
        aside = self._folder / "data.mdb.set-aside"
        os.replace(self._data, aside)
        (self._folder / "lock.mdb").unlink(missing_ok=True)
        self.counters["map_set_aside"] += 1
        _log.error(
            "session state cannot be trusted and begins anew; running sessions without an id are not known again",
            reason=reason,
            kept_as=str(aside),
        )

    # Growing

    def _grow(self, full: bool) -> None:
        """`full`: this process needs more than there is; else another one has made it more. Raises StateFileError."""
        try:
            with self._door.held():
                size = self._data.stat().st_size
                if full and size == self._size:
                    larger = size + max(self._step, size // _GROWS_BY // GRAIN * GRAIN)
                    reserve(self._data, size, larger)
                    size = larger
                    self.counters["map_grown"] += 1
                self._environment.set_mapsize(size)
                self._size = size
        except LockBusyError as error:
            raise self._busy(error) from error
        except (OSError, lmdb.Error) as error:
            raise StateFileError(f"session state in {self._folder} cannot grow: {error}") from error

    # Who else is there, and whether the machine went down

    def _alone(self) -> bool:
        """Whether no other process has it open. Call at the door."""
        try:
            fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _say(self, state: str) -> None:
        """For who opens it when nobody has it open. Raises OSError."""
        with (self._folder / "in-use").open("w") as file:
            file.write(state)
            file.flush()
            os.fsync(file.fileno())

    def _said(self) -> str:
        try:
            return (self._folder / "in-use").read_text()
        except OSError:
            return ""


def _used(environment: lmdb.Environment) -> int:
    return (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]


def _boot_id() -> str:
    """Another one after each start of the machine; where there is none (not Linux), power cuts go unnoticed."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return "unknown"
