"""Log lines of several processes in one file stay whole."""

import subprocess
import sys

_TALKING = """
import io, sys
import structlog
from gateway.logs import configure_logs

class Writes(io.StringIO):
    def write(self, text):
        seen.append(text)
        return super().write(text)

seen = []
sys.stderr = Writes()
configure_logs("info", "json", "worker 1")
structlog.get_logger("test").info("line")
print(len(seen), seen[0].endswith("}\\n"))
"""


def test_a_line_is_one_write_so_that_those_of_other_processes_do_not_run_into_it() -> None:
    done = subprocess.run([sys.executable, "-c", _TALKING], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["1", "True"]
