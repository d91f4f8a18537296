"""Policy files from disk: globs → agents. Fails for all files and all mistakes at once, or returns them all."""

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import yaml
from pydantic import ValidationError

from gateway.contracts import Detector
from gateway.policy.conditions import Condition, compiled
from gateway.policy.detectors.known import DetectorConfig
from gateway.policy.detectors.shape import Watch
from gateway.policy.problems import problems_of
from gateway.policy.schema import AgentFile
from gateway.policy.workspaces import own


class PolicyErrors(ValueError):  # noqa: N818 - it holds them all
    """Everything wrong with the policy files; each line has file, `::` path and remedy."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)


class Equipment(NamedTuple):
    """A detector that is no shape, and what of the file it was made of."""

    category: str
    key: str
    """In `detect`: `tools`, `usage` …"""
    config: DetectorConfig
    detector: Detector


@dataclass(frozen=True, slots=True)
class Agent:
    """A policy file, read and checked."""

    source: str
    version: str
    """First twelve hex digits of the SHA-256 of the file."""
    rules: AgentFile
    watches: tuple[Watch, ...]
    equipment: tuple[Equipment, ...] = ()
    condition: Condition | None = None

    @property
    def name(self) -> str:
        return self.rules.agent


def load_agents(paths: Sequence[str]) -> list[Agent]:
    """The agents of these files and globs, by path. Raises `PolicyErrors`."""
    agents: list[Agent] = []
    lines: list[str] = []
    for path in _files(paths, lines):
        try:
            agents.append(read_agent(path, Path(path).read_bytes()))
        except PolicyErrors as errors:
            lines += errors.lines
        except OSError as error:
            lines.append(f"{path}: cannot be read ({error.strerror}); check path and permissions")
    lines += _same_names(agents)
    if lines:
        raise PolicyErrors(lines)
    return agents


def _files(paths: Sequence[str], lines: list[str]) -> list[str]:
    found: dict[str, None] = {}
    for path in paths:
        matching = sorted(glob.glob(path, recursive=True)) if glob.has_magic(path) else [path]
        if not matching:
            lines.append(f"{path}: matches no file; name a policy file or folder such as policies/*.yaml")
        found.update(dict.fromkeys(matching))
    return list(found)


def _same_names(agents: Sequence[Agent]) -> Iterator[str]:
    for first, agent in combinations(agents, 2):
        if agent.name == first.name and _meet(first, agent):
            yield f"{agent.source}::agent: {agent.name} is the agent of {first.source} already; rename one"


def _meet(one: Agent, other: Agent) -> bool:
    """Whether both are the organisation's, or both a workspace's own: one of each may replace the other."""
    return bool(set(own(one)) & set(own(other))) if own(one) or own(other) else True


def read_agent(source: str, content: bytes) -> Agent:
    """The agent of one file's bytes. Raises `PolicyErrors`."""
    lines: list[str] = []
    tree = _tree(source, content, lines)
    if lines:
        raise PolicyErrors(lines)
    try:
        rules = AgentFile.model_validate(tree)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        problems = [problem for detail in details for problem in problems_of(detail, AgentFile)]
        raise PolicyErrors([f"{'::'.join((source, *path))}: {remedy}" for path, remedy in problems]) from None
    equipment = _equipment(source, rules, lines)
    if lines:
        raise PolicyErrors(lines)
    condition = compiled(rules.when) if rules.when is not None else None
    return Agent(source, sha256(content).hexdigest()[:12], rules, rules.watches(), equipment, condition)


def _equipment(source: str, rules: AgentFile, lines: list[str]) -> tuple[Equipment, ...]:
    made: list[Equipment] = []
    for category, detect in rules.detect.items():
        for key, config in detect.detectors().items():
            try:
                made.append(Equipment(category, key, config, config.detector(rules.instructions)))
            except Exception as error:  # may be somebody else's code; a ValueError's text is its remedy
                said = str(error) if isinstance(error, ValueError) else f"cannot be made ({type(error).__name__})"
                lines.append(f"{source}::detect::{category}::{key}: {said}")
    return tuple(made)


def _tree(source: str, content: bytes, lines: list[str]) -> object:
    try:
        text = content.decode("utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        for path, line in _doubled(node, ()):
            lines.append(f"{'::'.join((source, *path))}: is written twice (line {line}); keep one")
        tree = yaml.safe_load(text)
    except UnicodeDecodeError:
        lines.append(f"{source}: is not UTF-8 text; save it as UTF-8")
        return None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        lines.append(f"{source}: is not YAML{where}; check indentation, quotes and colons")
        return None
    if not isinstance(tree, dict):
        lines.append(f"{source}: is not a map; begin with agent:, role: and detect:")
    return tree


def _doubled(node: yaml.Node | None, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    """YAML lets the last of two equal keys win, silently."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            here = (*path, str(key.value))
            if key.value in seen:
                yield here, key.start_mark.line + 1
            seen.add(key.value)
            yield from _doubled(value, here)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _doubled(value, (*path, str(index)))
