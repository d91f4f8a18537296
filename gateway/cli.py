"""The `spangate` command: parses arguments, calls the code that does it, turns what went wrong into an exit code.

Exit codes: 0 fine, 1 the thing asked for failed, 2 wrong usage. Errors go to stderr and name the remedy.
"""

import argparse
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Literal

from gateway import __version__
from gateway.config.defaults import embedded
from gateway.config.load import load, load_extension
from gateway.config.schema import Config, ConfigErrors
from gateway.config.source import Source

if TYPE_CHECKING:
    from gateway.commands.sessions import Form
    from gateway.store.config import StorageConfig


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code."""
    try:
        try:
            return _called(argv)
        finally:
            sys.stdout.flush()  # what is buffered meets a closed pipe here, not in the interpreter's last breath
    except ConfigErrors as errors:
        for warning in errors.warnings:
            print(f"Warning: {warning}", file=sys.stderr)
        for line in errors.errors:
            print(f"Error: {line}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `spangate sessions list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 0


def _called(argv: Sequence[str] | None) -> int:
    arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    return command(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("spangate", description="A proxy gateway for LLM APIs: sessions, policies, OTLP.")
    parser.add_argument("--version", action="version", version=f"spangate {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="start the gateway; without --config, the embedded default")
    _add_config(run)
    run.set_defaults(command=_run)

    validate = commands.add_parser("validate", help="say every error of a configuration at once, or nothing")
    _add_config(validate, required=True)
    validate.set_defaults(command=_validate)

    demo = commands.add_parser("demo", help="gateway + built-in model + sample conversations; needs no key")
    demo.set_defaults(command=_demo)

    components = commands.add_parser("components", help="what is built in")
    components.set_defaults(command=_components)

    policy = commands.add_parser("policy", help="work on policy files").add_subparsers(required=True, metavar="COMMAND")
    test = policy.add_parser("test", help="run the cases written in policy files")
    test.add_argument("paths", nargs="*", metavar="PATH", default=["policies/*.yaml"])
    test.set_defaults(command=_policy_test)

    replay = policy.add_parser("replay", help="what agents would have said of stored traffic")
    _add_config(replay)
    replay.add_argument("--policy", action="append", required=True, metavar="FILE", help="may be repeated")
    replay.add_argument("--since", type=_duration, default="24h", metavar="DURATION", help="such as 45m, 24h, 30d")
    replay.set_defaults(command=_policy_replay)
    schema = policy.add_parser("schema", help="print the language of policy files as JSON Schema, for editors")
    schema.set_defaults(command=_policy_schema)

    tail = commands.add_parser("tail", help="one line an exchange, as they end")
    _add_config(tail)
    tail.add_argument("--session", metavar="ID", help="this session only")
    tail.add_argument("--outcome", choices=("allowed", "flagged", "redacted", "escalated", "blocked"))
    tail.add_argument("--once", action="store_true", help="print what is there and stop")
    tail.set_defaults(command=_tail)

    sessions = commands.add_parser("sessions", help="look at stored sessions").add_subparsers(
        required=True, metavar="COMMAND"
    )
    listing = sessions.add_parser("list", help="newest first")
    _add_config(listing)
    listing.add_argument("--limit", type=_positive, default=50, metavar="N")
    _add_form(listing)
    listing.set_defaults(command=_sessions_list)
    show = sessions.add_parser("show", help="one session, turn by turn")
    _add_session(show)
    _add_form(show)
    show.set_defaults(command=_sessions_show, otherwise="table")
    export = sessions.add_parser("export", help="one session with all that was said, as JSON; or its exchanges as CSV")
    _add_session(export)
    _add_form(export)
    export.set_defaults(command=_sessions_show, otherwise="json")
    delete = sessions.add_parser("delete", help="take one session out of the store, without a question")
    _add_session(delete)
    delete.set_defaults(command=_sessions_delete)

    _add_reviews(commands)
    _add_processes(commands)
    return parser


def _add_config(parser: argparse.ArgumentParser, required: bool = False) -> None:
    parser.add_argument(
        "--config", action="append", default=[], metavar="FILE", required=required, help="may be repeated"
    )
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="override one key")


def _add_session(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    parser.add_argument("id", metavar="ID")
    parser.add_argument("--workspace", metavar="NAME", help="where several have a session of this id")


def _add_form(parser: argparse.ArgumentParser) -> None:
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true")
    form.add_argument("--csv", action="store_true")


def _add_reviews(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    reviews = commands.add_parser("reviews", help="decide on exchanges that wait").add_subparsers(
        required=True, metavar="COMMAND"
    )
    listing = reviews.add_parser("list", help="those that wait, newest first")
    _add_config(listing)
    listing.add_argument("--all", action="store_true", help="also those that were decided or expired")
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(command=_reviews_list)
    for decision, what in (("approve", "let it go on"), ("decline", "refuse it"), ("change", "ask for a change")):
        deciding = reviews.add_parser(decision, help=what)
        _add_config(deciding)
        deciding.add_argument("id", metavar="ID")
        deciding.add_argument("--reason", default="", help="the refused client reads it")
        deciding.set_defaults(command=_reviews_decide, decision=decision)


def _add_processes(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """What the supervisor starts; not for people, so they are not in the help."""
    worker = commands.add_parser("worker")
    _add_config(worker)
    worker.add_argument("--number", type=_positive, default=1)
    worker.add_argument("--listen-fd", type=int, required=True)
    worker.add_argument("--control", required=True)
    worker.set_defaults(command=_worker)
    control = commands.add_parser("control-plane")
    _add_config(control)
    control.add_argument("--socket-fd", type=int, required=True)
    control.set_defaults(command=_control_plane)
    traffic = commands.add_parser("demo-traffic")
    traffic.add_argument("base_url")
    traffic.set_defaults(command=_demo_traffic)
    for process in (worker, control):
        process.add_argument("--ready-fd", type=int, default=-1)
        process.add_argument("--alive-fd", type=int, default=-1)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def _duration(text: str) -> float:
    from gateway.units import seconds

    try:
        return seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _config(arguments: argparse.Namespace, warn: bool = False) -> Config:
    from gateway.registry import REGISTRY

    files: list[str | Source] = list(arguments.config) or [embedded(os.environ)]
    config = load(REGISTRY, files, arguments.set, os.environ)
    if warn:
        for warning in config.warnings:
            print(f"Warning: {warning}", file=sys.stderr)
    return config


def _config_argv(arguments: argparse.Namespace) -> list[str]:
    files = [part for file in arguments.config for part in ("--config", file)]
    return files + [part for override in arguments.set for part in ("--set", override)]


# Commands: each imports what it needs, so that `sessions list` does not wait for the relay's imports.


def _run(arguments: argparse.Namespace) -> int:
    from gateway.logs import configure_logs
    from gateway.run import run_gateway

    config = _config(arguments, warn=True)
    _check_policies(config)
    _check_forward_proxies(config)
    logs = config.service.telemetry.logs
    configure_logs(logs.level, logs.format, "supervisor")
    return _exit_code(run_gateway(config, _config_argv(arguments), sys.stdout))


def _exit_code(running: Coroutine[object, object, int]) -> int:
    import asyncio

    from gateway.supervisor import StartError

    try:
        return asyncio.run(running)
    except StartError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1


def _validate(arguments: argparse.Namespace) -> int:
    config = _config(arguments)
    _check_policies(config)
    _check_forward_proxies(config)
    return 0


def _check_policies(config: Config) -> None:
    """Raises ConfigErrors: said here, once and in full, and not by each process that reads them."""
    from gateway.app import workspaces_of
    from gateway.policy.load import PolicyErrors
    from gateway.processors.policy import PolicyConfig, agents_of

    for written in config.processors.values():
        if isinstance(written, PolicyConfig):
            try:
                agents_of(written, workspaces_of(config))
            except PolicyErrors as errors:
                raise ConfigErrors(list(errors.lines), []) from errors


def _check_forward_proxies(config: Config) -> None:
    """Raises ConfigErrors: the environment's are as much configuration as what stands in the files."""
    from urllib.parse import urlsplit

    from gateway.receivers.forward_proxy import chosen_proxy
    from gateway.receivers.llm_config import LlmConfig

    lines: dict[str, None] = {}
    for receiver in config.receivers.values():
        for provider in receiver.providers.values() if isinstance(receiver, LlmConfig) else ():
            if provider.proxy is None:
                try:
                    chosen_proxy(urlsplit(provider.base_url), None, os.environ)
                except ValueError as error:
                    lines[f"{error}, or unset it"] = None
    if lines:
        raise ConfigErrors(list(lines), [])


def _demo(arguments: argparse.Namespace) -> int:
    from gateway.logs import configure_logs
    from gateway.run import run_demo

    configure_logs("warn", "auto", "supervisor")
    return _exit_code(run_demo(lambda overrides: _config(_with_sets(overrides)), sys.stdout))


def _with_sets(overrides: list[str]) -> argparse.Namespace:
    return argparse.Namespace(config=[], set=overrides)


def _components(arguments: argparse.Namespace) -> int:
    from gateway.registry import REGISTRY, describe, detectors

    print(describe({**REGISTRY, "detectors": detectors()}))
    return 0


def _policy_test(arguments: argparse.Namespace) -> int:
    from gateway.policy.cases import render, run_cases
    from gateway.policy.load import PolicyErrors

    try:
        report = run_cases(arguments.paths)
    except PolicyErrors as errors:
        raise ConfigErrors(list(errors.lines), []) from errors
    print(render(report, sys.stdout.isatty()))
    return 0 if report.ok else 1


def _policy_replay(arguments: argparse.Namespace) -> int:
    from gateway.commands.policy_replay import replay

    storage = _storage(arguments)
    redacted = storage.content == "redacted"
    return replay(storage.path, arguments.policy, sys.stdout, since_s=arguments.since, redacted=redacted)


def _policy_schema(arguments: argparse.Namespace) -> int:
    import json

    from gateway.policy.json_schema import policy_schema

    print(json.dumps(policy_schema(), indent=2))
    return 0


def _tail(arguments: argparse.Namespace) -> int:
    from gateway.commands.tail import tail

    return tail(
        _database(arguments), sys.stdout, session=arguments.session, outcome=arguments.outcome, once=arguments.once
    )


def _sessions_list(arguments: argparse.Namespace) -> int:
    from gateway.commands.sessions import list_sessions

    return list_sessions(_database(arguments), sys.stdout, limit=arguments.limit, form=_form(arguments, "table"))


def _sessions_show(arguments: argparse.Namespace) -> int:
    from gateway.commands.sessions import show_session

    form = _form(arguments, arguments.otherwise)
    return show_session(_database(arguments), sys.stdout, arguments.id, workspace=arguments.workspace, form=form)


def _form(arguments: argparse.Namespace, otherwise: "Form") -> "Form":
    return "json" if arguments.json else "csv" if arguments.csv else otherwise


def _sessions_delete(arguments: argparse.Namespace) -> int:
    from gateway.commands.sessions_delete import remove_session

    return remove_session(_database(arguments), sys.stdout, arguments.id, workspace=arguments.workspace)


def _reviews_list(arguments: argparse.Namespace) -> int:
    from gateway.commands.reviews import list_reviews

    status: Literal["pending"] | None = None if arguments.all else "pending"
    return list_reviews(_database(arguments), sys.stdout, status=status, as_json=arguments.json)


def _reviews_decide(arguments: argparse.Namespace) -> int:
    from gateway.commands.reviews import decide_review

    return decide_review(_database(arguments), sys.stdout, arguments.id, arguments.decision, arguments.reason)


def _database(arguments: argparse.Namespace) -> str:
    return str(_storage(arguments).path)


def _storage(arguments: argparse.Namespace) -> "StorageConfig":
    from gateway.registry import REGISTRY
    from gateway.store.config import StorageConfig

    files: list[str | Source] = list(arguments.config) or [embedded({})]
    storage = load_extension(REGISTRY, "storage", files, arguments.set, os.environ)
    return storage if isinstance(storage, StorageConfig) else StorageConfig()


def _worker(arguments: argparse.Namespace) -> int:
    from gateway.app import run_worker, worker_count, worker_name
    from gateway.logs import configure_logs
    from gateway.process import make_room_for_connections, run_child

    make_room_for_connections()
    config = _config(arguments)
    logs = config.service.telemetry.logs
    configure_logs(logs.level, logs.format, worker_name(arguments.number, worker_count(config)))
    run_child(
        lambda stop, ready: run_worker(config, arguments.listen_fd, arguments.control, stop, ready),
        arguments.ready_fd,
        arguments.alive_fd,
    )
    return 0


def _control_plane(arguments: argparse.Namespace) -> int:
    from gateway.app import run_control
    from gateway.logs import configure_logs
    from gateway.process import run_child
    from gateway.scheduling import yield_to_traffic

    yield_to_traffic()
    config = _config(arguments)
    logs = config.service.telemetry.logs
    configure_logs(logs.level, logs.format, "control-plane")
    run_child(
        lambda stop, ready: run_control(config, arguments.socket_fd, stop, ready),
        arguments.ready_fd,
        arguments.alive_fd,
    )
    return 0


def _demo_traffic(arguments: argparse.Namespace) -> int:
    from gateway.demo.traffic import run_traffic

    run_traffic(arguments.base_url, sys.stdout)
    return 0
