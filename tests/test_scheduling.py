"""What the control plane asks of the scheduler, asked back from the kernel in a process of its own."""

import json
import os
import platform
import subprocess
import sys

from gateway.scheduling import BACKGROUND_NICENESS, BACKGROUND_SLICE_NS

_ASK = """
import ctypes, json, os, platform, struct, threading
from gateway.scheduling import yield_to_traffic

def slice_ns():
    attributes = ctypes.create_string_buffer(48)
    number = {"x86_64": 315, "aarch64": 275}[platform.machine()]
    assert ctypes.CDLL(None).syscall(number, 0, attributes, 48, 0) == 0
    return struct.unpack("<IIQiIQQQ", attributes.raw)[5]

def told():
    said.append([os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0), slice_ns()])

said = [os.getpriority(os.PRIO_PROCESS, 0)]
yield_to_traffic()
told()
later = threading.Thread(target=told)
later.start()
later.join()
print(json.dumps(said))
"""


def test_the_control_plane_and_its_threads_let_whoever_wakes_up_go_first() -> None:
    answer = subprocess.run([sys.executable, "-c", _ASK], capture_output=True, text=True, check=True, timeout=30)
    before, own, thread = json.loads(answer.stdout)
    assert own == thread
    policy, niceness, slice_ns = own
    assert policy == os.SCHED_BATCH
    assert niceness == min(19, before + BACKGROUND_NICENESS)
    release = tuple(int(part) for part in platform.release().split(".")[:2])
    assert slice_ns == (BACKGROUND_SLICE_NS if release >= (6, 12) else 0)
