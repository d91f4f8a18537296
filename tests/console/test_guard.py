"""Nobody reads the console without the token, and no page can be turned against its reader."""

import re
from pathlib import Path

import pytest

from gateway.console.auth import AdminToken, Auth, admin_token
from gateway.console.guard import local_path
from tests.console.conftest import TOKEN, Client


@pytest.mark.parametrize("path", ["/api/v1/sessions", "/api/v1/sessions/x", "/api/v1/traces/x.inlet", "/api/v1/none"])
@pytest.mark.parametrize("credential", [None, "Bearer wrong", "Bearer ", "Basic " + TOKEN, TOKEN])
async def test_the_api_answers_401_without_the_token(stranger: Client, path: str, credential: str | None) -> None:
    answer = await stranger.get(path, headers={"Authorization": credential} if credential else {})
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert "Authorization: Bearer" in (await answer.json())["error"]["message"]


@pytest.mark.parametrize("path", ["/", "/sessions/x?after=MQ"])
async def test_a_page_sends_a_stranger_to_the_login_and_back(stranger: Client, path: str) -> None:
    answer = await stranger.get(path, allow_redirects=False)
    assert answer.status == 303
    login = await stranger.get(answer.headers["Location"])
    assert login.status == 200
    answer = await stranger.post("/login", data={"token": TOKEN, "next": path}, allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, path)


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(stranger: Client) -> None:
    answer = await stranger.post("/login", data={"token": TOKEN}, allow_redirects=False)
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    assert (await stranger.get("/", allow_redirects=False)).status == 200
    assert (await stranger.get("/api/v1/sessions")).status == 200


async def test_a_wrong_token_opens_nothing(stranger: Client) -> None:
    answer = await stranger.post("/login", data={"token": "wrong"})
    assert answer.status == 401
    assert "Set-Cookie" not in answer.headers
    assert "That is not the token" in await answer.text()


async def test_a_login_sent_by_another_site_is_refused(stranger: Client) -> None:
    answer = await stranger.post("/login", data={"token": TOKEN}, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status == 401


async def test_logging_out_needs_the_forms_token_and_then_ends_the_login(stranger: Client) -> None:
    await stranger.post("/login", data={"token": TOKEN})
    assert (await stranger.post("/logout", allow_redirects=False)).status == 403
    assert (await stranger.post("/logout", data={"csrf": "guessed"}, allow_redirects=False)).status == 403
    found = re.search(r'name="csrf" value="([^"]+)"', await (await stranger.get("/")).text())
    assert found is not None
    cookies = {cookie.key: cookie.value for cookie in stranger.session.cookie_jar}
    assert (await stranger.post("/logout", data={"csrf": found[1]}, allow_redirects=False)).status == 303
    assert (await stranger.get("/", allow_redirects=False)).status == 303
    kept = await stranger.get("/", cookies=cookies, allow_redirects=False)
    assert kept.status == 303, "a cookie that was kept is worth nothing"


@pytest.mark.parametrize("path", ["/", "/login", "/static/console.css", "/api/v1/sessions", "/nowhere"])
async def test_every_answer_carries_the_headers_that_keep_it_harmless(stranger: Client, path: str) -> None:
    headers = (await stranger.get(path, allow_redirects=False)).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "script-src" not in headers["Content-Security-Policy"]
    assert "aiohttp" not in headers["Server"]


@pytest.mark.parametrize("path", ["//evil.example", "/\\evil.example", "https://evil.example", "", "/a\nb"])
def test_a_login_never_leads_to_another_host(path: str) -> None:
    assert local_path(path) == "/"


def test_logins_end_after_their_time_and_are_bounded() -> None:
    now = [0.0]
    auth = Auth(AdminToken(b""), lambda: now[0])
    first = auth.log_in()
    assert auth.login(first) is not None
    cookies = [auth.log_in() for _ in range(200)]
    assert auth.login(first) is None
    now[0] = 13 * 3600.0
    assert auth.login(cookies[-1]) is None


class TestToken:
    def test_is_made_once_and_only_its_hash_is_kept(self, tmp_path: Path) -> None:
        made = admin_token(tmp_path / "data", None)
        assert made.made is not None
        again = admin_token(tmp_path / "data", None)
        assert again.made is None
        assert Auth(again).accepts(made.made, "192.0.2.1")
        (file,) = (tmp_path / "data").iterdir()
        assert file.stat().st_mode & 0o077 == 0
        assert made.made not in file.read_text()

    def test_given_by_the_environment_wins_and_is_not_kept(self, tmp_path: Path) -> None:
        assert Auth(admin_token(tmp_path, "given")).accepts("given", "192.0.2.1")
        assert list(tmp_path.iterdir()) == []

    def test_that_is_damaged_says_what_to_do(self, tmp_path: Path) -> None:
        (tmp_path / "admin-token.sha256").write_text("zz")
        with pytest.raises(OSError, match="delete it"):
            admin_token(tmp_path, None)
