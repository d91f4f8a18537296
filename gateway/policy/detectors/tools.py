"""Tool calls: which tools may be called, with what arguments, and how often the same. Runs no tool, sees no result."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from gateway.contracts import Call, Detector, Finding, Sight
from gateway.model import semconv as sc
from gateway.policy.detectors.globs import Globs, Names
from gateway.policy.detectors.known import DetectorConfig
from gateway.policy.tool_calls import calls_in

_SESSIONS, _CALLS = 10_000, 64
"""Remembered for `repeats`: sessions, the least recently used forgotten first, and the latest calls of each."""


class ToolsConfig(DetectorConfig):
    """`detect: {…: {tools: …}}`. What is written is looked for; a call that is more than one of it counts for each."""

    allow: Globs = ()
    """Any other tool is a finding."""
    deny: Globs = ()
    arguments: dict[str, Any] = Field(default={}, max_length=1_000)
    """By tool, a JSON Schema: arguments that do not fit are a finding."""
    repeats: Annotated[int, Field(ge=2, le=1_000)] | None = None
    """The same call, name and arguments, this many times in a session or in a request's history."""

    @model_validator(mode="after")
    def _looks_for_something(self) -> Self:
        if not (self.allow or self.deny or self.arguments or self.repeats):
            raise ValueError("looks for nothing; give it allow, deny, arguments or repeats")
        return self

    @field_validator("arguments")
    @classmethod
    def _schemas(cls, written: dict[str, Any]) -> dict[str, Any]:
        for tool, schema in written.items():
            try:
                validator_of(schema)
            except Exception as error:  # whatever the library makes of it; its text may quote the schema
                reason = f"{tool} has no JSON Schema that can be used ({type(error).__name__}); mend it"
                raise ValueError(reason) from error
        return written

    def detector(self, instructions: str) -> Detector:
        return Repetition(self) if self.repeats is not None else Tools(self)


def validator_of(schema: Any) -> Callable[[Any], bool]:
    """Raises what the library raises."""
    import jsonschema_rs

    # SECURITY: a `$ref` is not fetched, and no pattern can take more than linear time.
    validator = jsonschema_rs.validator_for(
        schema, retriever=_not_fetched, pattern_options=jsonschema_rs.RegexOptions(size_limit=1 << 20)
    )
    fits: Callable[[Any], bool] = validator.is_valid
    return fits


def _not_fetched(uri: str) -> Any:
    raise ValueError("a schema must stand in the policy file")


class Tools(Detector):
    """One category's."""

    def __init__(self, config: ToolsConfig) -> None:
        self._allow = Names(config.allow)
        self._deny = Names(config.deny)
        self._schemas = {tool: validator_of(schema) for tool, schema in config.arguments.items()}

    def findings(self, sight: Sight) -> Sequence[Finding]:
        calls = sight.calls()
        return [Finding(name, count) for name, count in self._counts(sight, calls).items() if count] if calls else ()

    def _counts(self, sight: Sight, calls: Sequence[Call]) -> dict[str, int]:
        return {
            "tool:denied": sum(call.name in self._deny for call in calls),
            "tool:not_allowed": sum(call.name not in self._allow for call in calls) if self._allow else 0,
            "tool:arguments": sum(not self._fits(call) for call in calls) if self._schemas else 0,
        }

    def _fits(self, call: Call) -> bool:
        fits = self._schemas.get(call.name)
        return fits is None or fits(call.arguments)


class Repetition(Tools):
    """The same, and calls that are made again and again."""

    def __init__(self, config: ToolsConfig) -> None:
        super().__init__(config)
        assert config.repeats is not None
        self._repeats = config.repeats
        self._called: OrderedDict[tuple[str, str], OrderedDict[bytes, int]] = OrderedDict()
        self._forgotten = 0

    def ended(self, sight: Sight) -> None:
        calls = calls_in(sight.exchange.response.messages) if sight.exchange.response is not None else ()
        if not calls:
            return
        key = _session(sight)
        called = self._called.setdefault(key, OrderedDict())
        self._called.move_to_end(key)
        for call in calls:
            called[call.digest] = called.get(call.digest, 0) + 1
            called.move_to_end(call.digest)
        while len(called) > _CALLS:
            called.popitem(last=False)
            self._forgotten += 1
        if len(self._called) > _SESSIONS:
            self._forgotten += len(self._called.popitem(last=False)[1])

    def counters(self) -> dict[str, int]:
        """`calls_forgotten`."""
        return {"calls_forgotten": self._forgotten} if self._forgotten else {}

    def _counts(self, sight: Sight, calls: Sequence[Call]) -> dict[str, int]:
        return {**super()._counts(sight, calls), "tool:repeated": self._repeated(sight, calls)}

    def _repeated(self, sight: Sight, calls: Sequence[Call]) -> int:
        """How many different calls were made too often. A history tells of all it has; the rest is remembered."""
        now = Counter([call.digest for call in calls])
        before: Mapping[bytes, int] = {}
        history: Mapping[bytes, int] = {}
        if sight.direction == "response":
            before = self._called.get(_session(sight), {})
            request = sight.exchange.request
            history = Counter([call.digest for call in calls_in(request.messages)]) if request is not None else {}
        return sum(
            count + max(before.get(digest, 0), history.get(digest, 0)) >= self._repeats for digest, count in now.items()
        )


def _session(sight: Sight) -> tuple[str, str]:
    return sight.exchange.workspace, str(sight.fact(sc.SESSION_ID))
