"""MLflow's server on a free port, and what its own SDK says of sessions."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from tests.e2e.gateway_process import free_ports
from tests.e2e.npm import bare, run
from tests.e2e.served import Served

EXPERIMENT = "0"
"""The one that is there from the start."""
_PYTHON = Path(__file__).parents[2] / ".venv-mlflow/bin/python"
_SEARCH = """
import json, sys, time, mlflow
url, experiment, traces = sys.argv[1:]
mlflow.set_tracking_uri(url)
found = []
while sum(map(len, found)) < int(traces):
    time.sleep(0.2)
    found = mlflow.search_sessions(locations=[experiment])
print(json.dumps({session.id: [trace.to_dict() for trace in session] for session in found}))
"""


class Traced(NamedTuple):
    """A trace of a session, as MLflow's SDK tells of it."""

    id: str
    """The OTel trace id."""
    spans: list[str]
    """Names, those of the root first."""
    request: str
    response: str
    """JSON of the messages."""
    user: str | None
    tokens: tuple[int, int]
    """Input and output."""


class MLflow(Served):
    """Its database lies in `folder`."""

    def __init__(self, folder: Path) -> None:
        [port] = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        self._home = folder / "home"
        store = ("--backend-store-uri", f"sqlite:///{folder}/mlflow.db")
        arguments = ["server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", *store]
        environ = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
        super().__init__(".venv-mlflow/bin/mlflow", arguments, environ, f"{self.url}/health", folder)

    @property
    def exporter(self) -> dict[str, Any]:
        """Configuration that sends it everything."""
        headers = {"x-mlflow-experiment-id": EXPERIMENT}
        return {"endpoint": self.url, "headers": headers, "capture": {"messages": "full"}}

    async def sessions(self, traces: int, within_s: float = 120.0) -> dict[str, list[Traced]]:
        """By id, each with its traces, oldest first; once there are so many traces."""
        command = [str(_PYTHON), "-c", _SEARCH, self.url, EXPERIMENT, str(traces)]
        ended = await run(command, self._home.parent, bare(self._home, MLFLOW_DISABLE_TELEMETRY="true"), within_s)
        assert ended.code == 0, ended.errors
        return {session: [_traced(trace) for trace in told] for session, told in json.loads(ended.out).items()}


def _traced(trace: dict[str, Any]) -> Traced:
    info, metadata = trace["info"], trace["info"]["trace_metadata"]
    usage = json.loads(metadata["mlflow.trace.tokenUsage"])
    return Traced(
        info["trace_id"].removeprefix("tr-"),
        [span["name"] for span in trace["data"]["spans"]],
        info["request_preview"],
        info["response_preview"],
        metadata.get("mlflow.trace.user"),
        (usage["input_tokens"], usage["output_tokens"]),
    )
