"""The shared map under what happens to it: processes that die anywhere, full maps and disks, files that are no maps."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import lmdb
import pytest

from gateway.state import lmdb_file
from gateway.state.lmdb_file import StateFile, StateFileError, Transaction

SMALL = 1 << 20
PAGE = os.sysconf("SC_PAGE_SIZE")


def opened(folder: Path) -> StateFile:
    return StateFile(folder, "1", ["things"], SMALL)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateFile]:
    state = opened(tmp_path)
    yield state
    state.close()


def put(state: StateFile, key: bytes, value: bytes) -> None:
    state.write(lambda transaction: transaction.put(key, value, db=state.tables["things"]))


def found(state: StateFile, key: bytes) -> bytes | None:
    return state.write(lambda transaction: transaction.get(key, db=state.tables["things"]))


def entries(state: StateFile) -> int:
    return state.write(lambda transaction: transaction.stat(state.tables["things"])["entries"])


PROGRAM = """
import os, sys
from pathlib import Path
from gateway.state.lmdb_file import StateFile
state = StateFile(Path(sys.argv[1]), "1", ["things"], 1 << 20)
things = state.tables["things"]
def add(transaction):
    number = int(transaction.get(b"count", b"0", db=things))
    for copy in range(5):
        transaction.put(b"%d-%d" % (number, copy), os.urandom(int(sys.argv[3])), db=things)
    transaction.put(b"count", b"%d" % (number + 1), db=things)
    return number
print("open", flush=True)
for _ in range(int(sys.argv[2])):
    add_number = state.write(add)
    print(add_number, flush=True)
state.close()
"""


def adding(folder: Path, times: int, size: int = 100) -> "subprocess.Popen[str]":
    """A process that adds five things and counts them, again and again, and says so each time."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), str(times), str(size)], stdout=subprocess.PIPE, text=True
    )


def test_what_was_written_is_there_again(tmp_path: Path) -> None:
    state = opened(tmp_path)
    put(state, b"key", b"value")
    state.close()
    again = opened(tmp_path)
    assert found(again, b"key") == b"value"
    again.close()
    assert not (tmp_path / "data.mdb.set-aside").exists()


def test_it_is_this_users_alone(state: StateFile, tmp_path: Path) -> None:
    assert {path.name: path.stat().st_mode & 0o077 for path in tmp_path.iterdir() if path.suffix == ".mdb"} == {
        "data.mdb": 0,
        "lock.mdb": 0,
    }


def test_what_two_processes_add_is_all_there(tmp_path: Path) -> None:
    first, second = adding(tmp_path, 300), adding(tmp_path, 300)
    said = [line for each in (first, second) for line in each.communicate(timeout=60)[0].splitlines() if line != "open"]
    assert sorted(map(int, said)) == [*range(600)]
    state = opened(tmp_path)
    assert found(state, b"count") == b"600"
    assert entries(state) == 600 * 5 + 1
    state.close()


def test_a_full_map_grows_for_all_who_have_it_open(tmp_path: Path) -> None:
    state = opened(tmp_path)
    started = state.size
    first, second = adding(tmp_path, 200, 10_000), adding(tmp_path, 200, 10_000)
    for each in (first, second):
        assert each.stdout is not None
        assert each.stdout.readline() == "open\n"
    for number in range(50):
        put(state, b"mine-%d" % number, b"x" * 10_000)
    for each in (first, second):
        each.communicate(timeout=60)
        assert each.returncode == 0
    assert found(state, b"count") == b"400"
    assert all(found(state, b"mine-%d" % number) for number in range(50))
    assert state.size == (tmp_path / "data.mdb").stat().st_size > 10 * started
    blocks = (tmp_path / "data.mdb").stat().st_blocks
    assert blocks * 512 >= state.size, "a hole would be a fatal signal on a full disk"
    state.close()


@pytest.mark.parametrize("lines", [1, 2, 7, 30, 31, 32, 33, 100])
def test_a_process_killed_at_any_moment_leaves_whole_transactions_and_no_lock(tmp_path: Path, lines: int) -> None:
    for _ in range(4):
        process = adding(tmp_path, 100_000)
        assert process.stdout is not None
        last = ""
        for _ in range(lines):
            last = process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        state = opened(tmp_path)
        count = int(found(state, b"count") or 0)
        assert lines == 1 or count > int(last), "what was said to be written is"
        assert entries(state) == (count * 5 + 1 if count else 0)
        state.close()
    assert not (tmp_path / "data.mdb.set-aside").exists()


def test_a_full_disk_is_an_error_and_no_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = opened(tmp_path)
    full = True

    def reserve(path: Path, size: int, larger: int) -> None:
        if full:
            raise OSError(28, "No space left on device")
        os.truncate(path, larger)

    monkeypatch.setattr(lmdb_file, "reserve", reserve)
    put(state, b"small", b"value")
    with pytest.raises(StateFileError, match="No space left"):
        put(state, b"big", b"x" * 2 * SMALL)
    assert found(state, b"small") == b"value"
    full = False
    put(state, b"big", b"x" * 2 * SMALL)
    assert found(state, b"big")
    state.close()


def somebody_elses(data: Path) -> None:
    """A map that another program made."""
    data.unlink()
    with lmdb.Environment(str(data.parent), map_size=SMALL, max_dbs=1) as environment:
        theirs = environment.open_db(b"things")
        with environment.begin(write=True) as transaction:
            transaction.put(b"count", b"no number", db=theirs)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data.write_bytes(os.urandom(SMALL)),
        lambda data: data.write_bytes(data.read_bytes()[:100]),
        lambda data: os.truncate(data, 16 << 10),
        lambda data: data.write_bytes(b""),
        lambda data: data.write_bytes(bytes(SMALL)),
        lambda data: data.write_bytes(data.read_bytes()[: 2 * PAGE].ljust(SMALL, b"\0")),
        somebody_elses,
    ],
    ids=[
        "is no map",
        "has no second page",
        "is shorter than it says",
        "is empty",
        "is all zeros",
        "is torn",
        "is another's",
    ],
)
def test_a_file_that_cannot_be_read_is_set_aside_and_said(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    state = opened(tmp_path)
    for number in range(100):
        put(state, b"%d" % number, b"x" * 1000)
    state.close()
    spoil(tmp_path / "data.mdb")
    again = opened(tmp_path)
    assert again.counters["map_set_aside"] == 1
    assert (tmp_path / "data.mdb.set-aside").exists()
    put(again, b"key", b"value")
    assert found(again, b"key") == b"value"
    again.close()


def test_another_versions_map_is_set_aside(tmp_path: Path) -> None:
    state = opened(tmp_path)
    put(state, b"key", b"value")
    state.close()
    newer = StateFile(tmp_path, "2", ["things"], SMALL)
    assert newer.counters["map_set_aside"] == 1
    assert newer.write(lambda transaction: transaction.get(b"key", db=newer.tables["things"])) is None
    newer.close()


def test_another_versions_map_that_is_in_use_is_left_alone(tmp_path: Path) -> None:
    process = adding(tmp_path, 1_000_000)
    assert process.stdout is not None
    process.stdout.readline()
    with pytest.raises(StateFileError, match="version"):
        StateFile(tmp_path, "2", ["things"], SMALL)
    assert process.poll() is None
    process.kill()
    process.communicate(timeout=60)


@pytest.mark.parametrize(("clean", "trusted"), [(True, True), (False, False)])
def test_a_map_that_was_in_use_when_the_machine_went_down_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean: bool, trusted: bool
) -> None:
    if clean:
        adding(tmp_path, 3).communicate(timeout=60)
    else:
        process = adding(tmp_path, 1_000_000)
        assert process.stdout is not None
        for _ in range(3):
            process.stdout.readline()
        process.kill()
        process.communicate(timeout=60)
    (tmp_path / "boot").write_text("another start of the machine")
    monkeypatch.setattr(lmdb_file, "_BOOT_ID", tmp_path / "boot")
    state = opened(tmp_path)
    assert bool(found(state, b"count")) is trusted
    state.close()


def test_a_folder_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateFileError, match="file/state"):
        opened(tmp_path / "file" / "state")


LIMITED = """
import resource, sys
from pathlib import Path
from gateway.state.lmdb_file import StateFile, StateFileError
state = StateFile(Path(sys.argv[1]), "1", ["things"], 1 << 20)
put = lambda key, value: state.write(lambda transaction: transaction.put(key, value, db=state.tables["things"]))
put(b"small", b"value")
resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, resource.RLIM_INFINITY))
for number in range(1000):
    try:
        put(b"%d" % number, b"x" * 100_000)
    except StateFileError as error:
        print(error)
        break
put(b"small", b"still written")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
put(b"big", b"x" * 4_000_000)
state.close()
"""


def test_where_the_system_gives_no_more_blocks_it_is_an_error_and_later_goes_on(tmp_path: Path) -> None:
    """The real refusal, which any user can bring about: a limit to the sizes of files. A full disk refuses in its place."""
    ran = subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "cannot grow: [Errno 27] File too large" in ran.stdout
    state = opened(tmp_path)
    assert found(state, b"small") == b"still written"
    assert len(found(state, b"big") or b"") == 4_000_000
    state.close()


NOBODYS = """
import os, sys
from pathlib import Path
from gateway.state.lmdb_file import StateFile, StateFileError
if os.getuid() == 0:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
try:
    StateFile(Path(sys.argv[1]), "1", ["things"], 1 << 20)
except StateFileError as error:
    print(error)
"""


@pytest.mark.parametrize("there", [False, True], ids=["empty", "with a map in it"])
def test_a_folder_that_may_only_be_read_is_named(there: bool) -> None:
    """To root everything may be written, so the process is nobody's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if there:
            opened(folder).close()
        for path in folder.iterdir():
            path.chmod(0o444)
        folder.chmod(0o555)
        ran = subprocess.run([sys.executable, "-c", NOBODYS, name], capture_output=True, text=True, timeout=60)
        folder.chmod(0o755)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith(f"session state in {name} cannot be opened: [Errno 13] Permission denied")


def test_work_that_fails_leaves_nothing(state: StateFile) -> None:
    def half(transaction: Transaction) -> None:
        transaction.put(b"key", b"value", db=state.tables["things"])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        state.write(half)
    assert found(state, b"key") is None
