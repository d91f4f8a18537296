"""The pages show conversations, and show what clients wrote as text, never as markup."""

from tests.console.conftest import NOW_S, Client, Put
from tests.link.fakes import a_message, a_record

NOW_NS = int(NOW_S * 1e9)
_EVIL = "<script>alert(1)</script>"
_ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;"


async def test_the_first_page_of_an_empty_store_says_what_to_do(script: Client) -> None:
    text = await (await script.get("/")).text()
    assert "No conversations yet" in text
    assert "OPENAI_BASE_URL=http://127.0.0.1:4000/openai/v1" in text
    assert "ANTHROPIC_BASE_URL=http://127.0.0.1:4000/anthropic" in text


async def test_sessions_are_listed_with_a_way_to_older_ones(script: Client, put: Put) -> None:
    put(*(a_record(str(n), session_id=f"session-{n}", ended_ns=n, preview=f"question {n}") for n in range(51)))
    text = await (await script.get("/")).text()
    assert "question 50" in text
    assert "session-0<" not in text
    older = text.split('href="/?before=')[1].split('"')[0]
    assert "question 0" in await (await script.get(f"/?before={older}")).text()


async def test_behind_the_oldest_session_stands_a_sentence_and_no_empty_table(script: Client, put: Put) -> None:
    put(a_record())
    text = await (await script.get("/?before=MC4w")).text()
    assert "Nothing older is stored" in text
    assert "<table" not in text


async def test_a_session_shows_what_each_turn_added_and_how_it_went(script: Client, put: Put) -> None:
    one, yes, two = a_message("first question"), a_message("the answer", "assistant"), a_message("second question")
    said_again = a_message("the answer, as the client repeats it", "assistant")
    put(
        a_record("a", input_digests=one.digest, output_digests=yes.digest, messages=(one, yes)),
        a_record(
            "b",
            input_digests=one.digest + said_again.digest + two.digest,
            output_digests=b"",
            messages=(said_again, two),
            new_from=1,
            end="client_gone",
            outcome="flagged",
            session_sequence=2,
        ),
    )
    text = await (await script.get("/sessions/s1")).text()
    for shown in ("first question", "the answer", "second question", "client gone", "flagged", "protector", "gpt-4o"):
        assert shown in text
    assert "as the client repeats it" not in text
    assert 'id="a.inlet"' in text
    assert 'id="b.response"' in text


async def test_pages_tell_life_attention_and_totals(script: Client, put: Put) -> None:
    put(
        a_record(
            "a",
            started_ns=NOW_NS,
            previous_session="before",
            outcome="escalated",
            cost_nusd=12_300_000,
            tools="search\nfetch",
            tool_calls=3,
        ),
        a_record("b", started_ns=NOW_NS + 1, cache_read_tokens=1234, reasoning_tokens=77),
        a_record("c", session_id="before", started_ns=1, session_end=True),
        a_record("d", session_id="idle", started_ns=1, ended_ns=1),
    )
    listed = await (await script.get("/")).text()
    for shown in ('class="badge awaiting_review">awaiting review<', "≥ $0.0123", ">open<", ">closed<", ">none<"):
        assert shown in listed
    page = await (await script.get("/sessions/s1")).text()
    for shown in ("awaiting review", "open", "search, fetch", "3 calls", "≥ $0.0123", "not known of 1 exchange<"):
        assert shown in page
    for shown in ("1,234 / 0", "77", 'href="/sessions/before?workspace=default"'):
        assert shown in page
    before = await (await script.get("/sessions/before")).text()
    assert "closed, by its last call" in before
    assert 'href="/sessions/s1?workspace=default"' in before


async def test_everything_from_clients_is_escaped(script: Client, put: Put) -> None:
    message = a_message(_EVIL)
    put(
        a_record(
            _EVIL,
            session_id=_EVIL,
            model=_EVIL,
            response_model=_EVIL,
            preview=_EVIL,
            user=_EVIL,
            origin=_EVIL,
            error_type=_EVIL,
            finish_reasons=_EVIL,
            tools=_EVIL,
            tool_calls=1,
            previous_session='" onmouseover="x',
            workspace=_EVIL,
            input_digests=message.digest,
            messages=(type(message)(message.digest, _EVIL, message.json),),
        )
    )
    for path in ("/", "/sessions/%3Cscript%3Ealert(1)%3C%2Fscript%3E"):
        answer = await script.get(path)
        text = await answer.text()
        assert answer.status == 200
        assert _ESCAPED in text
        assert "<script" not in text
        assert 'onmouseover="x' not in text


async def test_a_long_message_is_folded_and_cut(script: Client, put: Put) -> None:
    message = a_message("word " * 20_000)
    put(a_record("a", input_digests=message.digest, messages=(message,)))
    text = await (await script.get("/sessions/s1")).text()
    assert "Show the rest (100,000 characters in all)" in text
    assert "50,000 more characters" in text


async def test_content_that_cannot_be_read_does_not_break_the_page(script: Client, put: Put) -> None:
    message = type(a_message(""))(b"d" * 16, "user", b"{not json")
    put(a_record("a", input_digests=message.digest + b"g" * 16, messages=(message,)))
    text = await (await script.get("/sessions/s1")).text()
    assert "content cannot be read" in text
    assert "no longer stored" in text


async def test_a_session_that_is_not_there_is_said_so(script: Client) -> None:
    answer = await script.get("/sessions/none")
    assert answer.status == 404
    assert "There is no such session" in await answer.text()


async def test_a_cursor_nobody_gave_out_is_no_crash(script: Client, put: Put) -> None:
    put(a_record())
    assert (await script.get("/?before=zzz")).status == 400
    assert (await script.get("/sessions/s1?after=zzz")).status == 400


async def test_of_a_request_with_too_many_messages_the_number_left_out_is_said(script: Client, put: Put) -> None:
    message = a_message("hello")
    put(a_record("a", input_digests=message.digest * 700, messages=(message,)))
    text = await (await script.get("/sessions/s1")).text()
    assert "200 more messages before these" in text
    assert text.count('class="message') < 600


async def test_ids_that_are_steps_in_a_path_have_a_page_too(script: Client, put: Put) -> None:
    for session_id in (".", ".."):
        put(a_record(session_id, session_id=session_id, preview=f"dots {session_id}"))
        text = await (await script.get("/")).text()
        link = f"/session?id={session_id}&amp;workspace=default"
        assert f'href="{link}"' in text
        page = await (await script.get(link.replace("&amp;", "&"))).text()
        assert f'<dd class="id">{session_id}</dd>' in page
