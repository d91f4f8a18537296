"""Session state in LMDB as several processes see it. What all engines do alike is in `test_contract.py`."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.contracts import SessionState
from gateway.model.session import Claim, Place
from gateway.state import blocks
from gateway.state.config import SessionStateConfig
from gateway.state.fallback import FallbackState
from gateway.state.lmdb import LmdbState
from gateway.state.lmdb_file import StateBusyError, StateFileError
from gateway.state.memory import MemoryState
from gateway.state.opening import session_state
from tests.state.test_contract import HOUR, START, claim, digest, explicit, key, lesson, unnamed


def place(state: SessionState, claimed: Claim, now_ns: int = START) -> Place:
    found = state.resolve(claimed, now_ns)
    assert isinstance(found, Place)
    return found


PROGRAM = """
import json, sys
from pathlib import Path
from gateway.model.session import Claim
from gateway.state.lmdb import LmdbState
state = LmdbState(Path(sys.argv[1]), b"secret")
print("open", flush=True)
for line in sys.stdin:
    if line == "hold\\n":
        state._file.write(lambda transaction: (print("held", flush=True), sys.stdin.readline()))
        continue
    if line.startswith("failed "):
        state.failures.note(bytes.fromhex(line.split()[1]), 1_790_000_000_000_000_000)
        print("noted", flush=True)
        continue
    claims = [Claim(*written) for written in json.loads(line)]
    found = [state.resolve(each, 1_790_000_000_000_000_000 + n) for n, each in enumerate(claims)]
    print(json.dumps([each[:3] if each else None for each in found]), flush=True)
state.close()
"""


class Peer:
    """Another process on the same folder."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "open\n"

    def ask(self, claims: list[Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(claims) + "\n")
        self.process.stdin.flush()

    def answer(self) -> list[tuple[str, str, int]]:
        assert self.process.stdout is not None
        return [tuple(each) for each in json.loads(self.process.stdout.readline())]

    def tell(self, order: str) -> str:
        """Its answer, a line."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def stop_amid_a_transaction(self) -> None:
        assert self.tell("hold") == "held\n"
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)

    def leave(self) -> None:
        self.process.communicate(timeout=60)


def test_two_processes_that_see_the_first_two_messages_at_once_agree_on_one_session(tmp_path: Path) -> None:
    first, second = Peer(tmp_path), Peer(tmp_path)
    talks = 200
    by_time = [
        [unnamed(f"s-{name}-{talk}", window_key=f"user-{talk}") for talk in range(talks)]
        for name in ("first", "second")
    ]
    for peer, claims in zip((first, second), by_time, strict=True):
        peer.ask(claims)
    for one, other in zip(first.answer(), second.answer(), strict=True):
        assert one[0] == other[0]
        assert sorted((one[2], other[2])) == [1, 2]
        assert {one[1], other[1]} == {"new", "window"}
    named = [claim(f"talk-{talk}") for talk in range(talks)]
    for peer in (first, second):
        peer.ask(named)
    answers = [peer.answer() for peer in (first, second)]
    assert all(sorted((one[2], other[2])) == [1, 2] for one, other in zip(*answers, strict=True))
    for peer in (first, second):
        peer.leave()


def test_sessions_go_on_after_a_restart_and_after_a_kill(tmp_path: Path) -> None:
    for turn, ends_by in enumerate([signal.SIGTERM, signal.SIGKILL, None, None], 1):
        peer = Peer(tmp_path)
        peer.ask([claim(f"talk-{talk}") for talk in range(50)])
        assert {sequence for _, _, sequence in peer.answer()} == {turn}
        if ends_by is not None:
            peer.process.send_signal(ends_by)
        peer.leave()


def test_a_process_killed_while_it_joins_leaves_whole_sessions(tmp_path: Path) -> None:
    """Every join of a window claim writes a session and its window key: both are there, or neither."""
    state = LmdbState(tmp_path, b"secret")
    for known in (1, 50, 1_000, 1_001, 2_000):
        peer = Peer(tmp_path)
        names = [f"{known}-{n}" for n in range(20_000)]
        peer.ask([unnamed(f"s-{name}", window_key=f"u-{name}") for name in names])
        while state.counts()["sessions"] < known:
            pass
        peer.process.kill()
        peer.process.communicate(timeout=60)
        counts = state.counts()
        assert counts["sessions"] == counts["windows"]
    again = place(state, explicit("after"))
    assert again.sequence == 1
    state.close()


def test_a_full_map_grows_while_sessions_come(tmp_path: Path) -> None:
    state = LmdbState(tmp_path, b"secret")
    size = state.size
    number = 0
    while state.size == size:
        place(state, claim(f"talk-{number}", window_key=f"user-{number}" + "x" * 100))
        number += 1
    assert state.counters["map_grown"] == 1
    assert all(place(state, claim(f"talk-{each}")).sequence == 2 for each in range(0, number, 97))
    state.close()


def test_sessions_and_window_keys_expire_by_age(tmp_path: Path) -> None:
    state = LmdbState(tmp_path, b"secret", keep_s=48 * 3600)
    for number in range(100):
        place(state, claim(f"talk-{number}", window_key=f"user-{number}"), START)
    place(state, claim("young", window_key="young"), START + 40 * HOUR)
    for _ in range(2):  # the first begins anywhere
        state.sweep(START + 24 * HOUR)
    assert state.counters == {}
    for _ in range(2):
        state.sweep(START + 24 * HOUR + 1)
    assert state.counters == {"windows_expired": 100}
    for _ in range(2):
        state.sweep(START + 50 * HOUR)
    assert state.counters == {"windows_expired": 100, "sessions_expired": 100}
    assert place(state, claim("young"), START + 50 * HOUR).sequence == 2
    state.close()


def test_sessions_are_bounded_in_number(tmp_path: Path) -> None:
    state = LmdbState(tmp_path, b"secret", limit=20)
    for number in range(100):
        place(state, claim(f"talk-{number}", window_key=f"user-{number}"), START + number)
    assert state.counters == {"sessions_forgotten": 80, "windows_forgotten": 80}
    state.close()


def test_keys_lead_into_sessions_after_a_restart(tmp_path: Path) -> None:
    state = LmdbState(tmp_path, b"secret")
    place(state, claim())
    state.learn(lesson(lasting=(digest("answer"),)))
    state.close()
    again = LmdbState(tmp_path, b"secret")
    assert place(again, unnamed(keys=(key("answer"),))) == Place("talk", "key", 2, None, "e-1", 0)
    again.close()


def test_keys_of_a_session_that_was_forgotten_lead_nowhere(tmp_path: Path) -> None:
    state = LmdbState(tmp_path, b"secret", keep_s=48 * 3600)
    place(state, claim())
    state.learn(lesson(lasting=(digest("answer"),), ended_ns=START + 40 * HOUR))
    for _ in range(2):
        state.sweep(START + 50 * HOUR)
    assert state.counters["sessions_expired"] == 1
    assert state.counts()["keys"] == 1
    assert place(state, unnamed("s-1", keys=(key("answer"),)), START + 50 * HOUR).how == "new"
    assert place(state, claim(), START + 50 * HOUR).sequence == 1
    found = place(state, unnamed("s-2", keys=(key("answer"),)), START + 50 * HOUR)
    assert found.how == "new", "the same id, and another session"
    state.close()


def test_passing_keys_that_made_room_take_none(tmp_path: Path) -> None:
    state = LmdbState(tmp_path, b"secret")
    for turn in range(30):
        keys = {"lasting": (digest(f"turn {turn}"),), "passing": tuple(digest(f"{turn} {n}") for n in range(6))}
        state.learn(lesson("s-1", f"e-{turn}", begins=True, **keys))
    assert state.counts()["keys"] == 30 + 12
    state.learn(lesson("s-2", "other", begins=True, passing=(digest("29 1"),)))
    state.learn(lesson("s-1", "e-30", passing=tuple(digest(f"30 {n}") for n in range(12))))
    assert state.counts()["keys"] == 30 + 12 + 1, "what another session has learnt stays"
    assert place(state, unnamed("s-3", keys=(key("29 1"),))).parent == "other"
    state.close()


def test_keys_expire_too(tmp_path: Path) -> None:
    state = LmdbState(tmp_path, b"secret", keep_s=3600)
    for number in range(20):
        state.learn(lesson(f"s-{number}", begins=True, lasting=(digest(str(number)),)))
    for _ in range(2):
        state.sweep(START + 2 * HOUR)
    assert state.counts() == {"sessions": 0, "windows": 0, "keys": 0}
    assert state.counters == {"sessions_expired": 20, "keys_expired": 20}
    state.close()


def test_what_is_kept_of_a_session_of_thirty_turns_is_small(tmp_path: Path) -> None:
    state = LmdbState(tmp_path, b"secret")
    sessions = 200
    for turn in range(30):
        for number in range(sessions):
            session = f"claude-code-{number:036}"
            place(state, claim(session, principal="0" * 32, window_key=f"u-{number}"), START + turn)
            lasting, *passing = (os.urandom(16) for _ in range(8))
            state.learn(lesson(session, os.urandom(12).hex(), lasting=(lasting,), passing=tuple(passing)))
    assert state.used / sessions < 8192
    state.close()


def opened(folder: Path) -> SessionState:
    return session_state(SessionStateConfig(url=f"lmdb:{folder}"), b"secret", 45.0, 86400.0, workers=1)


def test_a_disk_that_is_full_for_a_while_costs_no_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = opened(tmp_path)
    assert not place(state, explicit()).local
    reserved = blocks.reserve

    def full(path: Path, size: int, larger: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("gateway.state.lmdb_file.reserve", full)
    number = 0
    while not state.counters["local"]:
        place(state, claim(f"talk-{number}", window_key=f"user-{number}" + "x" * 1000))
        number += 1
    assert place(state, explicit()).local
    monkeypatch.setattr("gateway.state.lmdb_file.reserve", reserved)
    monkeypatch.setattr(state, "_clock", lambda: 1e12)
    assert place(state, explicit()) == Place("talk", "named", 2)
    state.close()


def test_a_folder_that_cannot_be_had_costs_no_session(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    state = opened(tmp_path / "file" / "state")
    assert place(state, explicit()).local
    state.close()


@pytest.mark.parametrize("ends_by", [signal.SIGCONT, signal.SIGKILL], ids=["goes on", "is killed"])
def test_a_process_stopped_amid_a_transaction_costs_the_others_no_session(tmp_path: Path, ends_by: int) -> None:
    now_s = 0.0
    state = FallbackState(
        lambda wait_s: LmdbState(tmp_path, b"secret", wait_s=wait_s),
        StateFileError,
        MemoryState(),
        lambda: now_s,
        StateBusyError,
    )
    peer = Peer(tmp_path)
    assert place(state, explicit()).sequence == 1
    peer.stop_amid_a_transaction()
    assert place(state, explicit()) == Place("talk", "named", 1, local=True)
    assert f"process {peer.process.pid} holds" in (state.trouble or "")
    now_s = 10.0
    assert place(state, explicit()) == Place("talk", "named", 2, local=True), "it was tried again, in vain"
    assert state.counters == {"failed": 2, "local": 2}
    peer.process.send_signal(ends_by)
    peer.leave()
    now_s = 20.0
    assert place(state, explicit()) == Place("talk", "named", 2)
    assert state.trouble is None
    state.close()


def test_who_opens_it_meanwhile_has_sessions_of_its_own_at_first(tmp_path: Path) -> None:
    peer = Peer(tmp_path)
    peer.stop_amid_a_transaction()
    with pytest.raises(StateBusyError, match=f"process {peer.process.pid} holds"):
        LmdbState(tmp_path, b"secret", wait_s=0.1)
    peer.process.kill()
    peer.leave()
    state = LmdbState(tmp_path, b"secret", wait_s=60)
    assert place(state, explicit()).sequence == 1
    state.close()


def test_what_failed_in_one_process_is_known_in_the_others_and_after_a_restart(tmp_path: Path) -> None:
    state = LmdbState(tmp_path, b"secret")
    peer = Peer(tmp_path)
    assert not state.failures.lately(START, 10**10, digest("alice"))
    assert peer.tell(f"failed {digest('alice').hex()}") == "noted\n"
    assert state.failures.lately(START, 10**10, digest("alice"))
    assert not state.failures.lately(START, 10**10, digest("bob"))
    peer.leave()
    state.close()
    again = LmdbState(tmp_path, b"secret")
    assert again.failures.lately(START, 10**10, digest("alice"))
    again.close()
