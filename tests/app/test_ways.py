"""The real gateway where everything around it is TLS and the only way out is a forward proxy."""

import ssl
from pathlib import Path

import aiohttp

from gateway.demo.model import BuiltinModel
from tests.app.conftest import WatchedGateway
from tests.certificates import self_signed
from tests.e2e.gateway_process import TOKEN
from tests.proxy.connect_proxy import ConnectProxy

BODY = {"model": "demo", "messages": [{"role": "user", "content": "What is a span?"}]}


async def test_calls_come_in_by_tls_and_leave_through_a_tunnel(tmp_path: Path) -> None:
    pem = self_signed(tmp_path / "localhost.pem", "localhost", "model.example")
    spoken = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    spoken.load_cert_chain(pem)
    trusting = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(pem)))
    tls = {"cert_file": str(pem), "key_file": str(pem)}
    async with (
        BuiltinModel(tls=spoken) as model,
        ConnectProxy("user:hunter2") as proxy,
        aiohttp.ClientSession(connector=trusting, headers={"Authorization": f"Bearer {TOKEN}"}) as session,
    ):
        providers = {
            "openai": {"base_url": model.url.replace("127.0.0.1", "model.example"), "ca_file": str(pem)},
        }
        config = {"receivers": {"llm": {"tls": tls, "providers": providers}}, "extensions": {"console": {"tls": tls}}}
        gateway = WatchedGateway(
            tmp_path, model.url, config, {"HTTPS_PROXY": f"http://user:hunter2@127.0.0.1:{proxy.port}"}
        )
        async with gateway:
            url = gateway.openai_url.replace("http://127.0.0.1", "https://localhost")
            for _ in range(2):
                async with session.post(f"{url}/chat/completions", json=BODY) as answer:
                    assert answer.status == 200
                    assert (await answer.json())["choices"]
            console = gateway.console_url.replace("http://127.0.0.1", "https://localhost")
            async with session.get(f"{console}/api/v1/sessions") as answer:
                assert answer.status == 200
            async with session.post(f"{console}/login", data={"token": TOKEN}, allow_redirects=False) as answer:
                assert answer.cookies["spangate_login"]["secure"]
        assert proxy.tunnels == 1
        assert [end for _, end in gateway.stored()] == ["finished", "finished"]
        assert "hunter2" not in gateway.log
        assert b"hunter2" not in (tmp_path / "spangate.db").read_bytes()
