"""nginx twice: as the upstream that answers at once, and as the bare relay that everything is compared with."""

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.machine import free_ports
from bench.processes import listening, running, wait_until


@dataclass(slots=True, frozen=True)
class Nginx:
    port: int
    pid: int
    """The master's; its one worker is its child."""
    status_port: int = 0

    @property
    def requests(self) -> int:
        """How many requests it has had, these questions not among them."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.status_port}/", timeout=5) as answer:
            # Third line: accepts, handled, requests; a question counts itself, and earlier ones stay counted.
            return int(answer.read().split(b"\n")[2].split()[2])


@contextmanager
def upstream(core: int, folder: Path, answer: bytes) -> Iterator[Nginx]:
    """Answers every POST with `answer`, once its body has been read."""
    port, status_port = free_ports(2)
    with _nginx(core, folder, "upstream", upstream_config(port, status_port, answer), port) as pid:
        yield Nginx(port, pid, status_port)


@contextmanager
def relay(core: int, folder: Path, upstream_port: int) -> Iterator[Nginx]:
    [port] = free_ports(1)
    with _nginx(core, folder, "relay", relay_config(port, upstream_port), port) as pid:
        yield Nginx(port, pid)


@contextmanager
def _nginx(core: int, folder: Path, name: str, servers: str, port: int) -> Iterator[int]:
    place = folder / name
    place.mkdir(exist_ok=True)
    config, log = place / "nginx.conf", place / "log"
    config.write_text(_frame(place, servers))
    with running(["nginx", "-c", str(config), "-e", str(place / "error")], core, log) as process:
        wait_until(lambda: listening(port), process, log)
        yield process.pid


def upstream_config(port: int, status_port: int, answer: bytes) -> str:
    # `return` alone would answer before a large body has come. Mirroring reads it first; then the static handler
    # finds nothing (or refuses a POST), which becomes the answer.
    return f"""
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        default_type application/json;
        location / {{ mirror /read; error_page 403 404 405 =200 @answer; }}
        location = /read {{ internal; return 204; }}
        location @answer {{ return 200 '{answer.decode()}'; }}
    }}
    server {{ listen 127.0.0.1:{status_port}; location / {{ stub_status; }} }}
    """


def relay_config(port: int, upstream_port: int) -> str:
    # Without request buffering nginx is twice as fast on 190 KB: it is compared at its best.
    return f"""
    upstream model {{
        server 127.0.0.1:{upstream_port};
        keepalive 1024;
        keepalive_requests 1000000000;
        keepalive_timeout 3600;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://model;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_request_buffering off;
            proxy_buffering off;
            proxy_read_timeout 600;
        }}
    }}
    """


def _frame(place: Path, servers: str) -> str:
    temporary = "\n".join(
        f"    {kind}_temp_path {place}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
daemon off;
worker_processes 1;
worker_rlimit_nofile 8192;
pid {place}/pid;
error_log {place}/error crit;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    tcp_nodelay on;
    keepalive_timeout 3600;
    keepalive_requests 1000000000;
    client_max_body_size 16m;
    client_body_buffer_size 1m;
    root {place}/nothing;
    log_not_found off;
{temporary}
{servers}
}}
"""
