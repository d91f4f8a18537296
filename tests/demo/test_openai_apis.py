"""OpenAI's further APIs by the official SDK against the built-in model, with nothing between."""

import io
import json
import wave
from base64 import b64decode
from typing import Any

import openai
import pytest

TOOL: Any = {"type": "function", "name": "weather", "parameters": {"properties": {"city": {"type": "string"}}}}
CUSTOM: Any = {"type": "custom", "name": "patch"}
SOUND = ("a.wav", b"RIFF\0\0", "audio/wav")


@pytest.mark.parametrize("name", ["demo", "demo-reasoning", "demo-tools"])
async def test_the_sdks_own_collector_makes_of_a_stream_what_the_whole_answer_says(
    openai_client: openai.AsyncOpenAI, name: str
) -> None:
    asked: Any = {"model": name, "input": "How is the weather in Braga?", "tools": [TOOL]}
    whole = await openai_client.responses.create(**asked)
    async with openai_client.responses.stream(**asked) as stream:
        events = [event async for event in stream]
        collected = await stream.get_final_response()
    assert [event.sequence_number for event in events if event.type == "response.created"] == [0]
    assert [item.type for item in collected.output] == [item.type for item in whole.output]
    assert collected.output_text == whole.output_text
    assert collected.usage == whole.usage


async def test_a_custom_tool_is_called_with_text(openai_client: openai.AsyncOpenAI) -> None:
    answer = await openai_client.responses.create(model="demo-tools", input="Mend it", tools=[CUSTOM])
    [call] = answer.output
    assert call.type == "custom_tool_call"
    assert (call.name, call.input) == ("patch", "Mend it")


async def test_a_custom_tool_is_called_with_the_text_that_a_user_names(openai_client: openai.AsyncOpenAI) -> None:
    said = 'Call the tool patch with {"input": "*** Begin"}'
    answer = await openai_client.responses.create(model="demo", input=said, tools=[CUSTOM])
    [call] = answer.output
    assert call.type == "custom_tool_call"
    assert (call.name, call.input) == ("patch", "*** Begin")


async def test_calls_that_a_user_names_are_made_one_after_the_other(openai_client: openai.AsyncOpenAI) -> None:
    spawning = {"message": 'Call the tool weather with {"city": "Porto"}'}
    said = f"Call the tool spawn with {json.dumps(spawning)}, then call the tool wait with {{}}"
    spawn: Any = {"type": "function", "name": "spawn", "parameters": {}}
    agents: Any = {"type": "namespace", "name": "agents", "tools": [spawn, spawn | {"name": "wait"}]}
    talk: list[Any] = [{"role": "user", "content": said}]
    made: list[Any] = []
    while len(made) < 3:
        answer = await openai_client.responses.create(model="demo", input=talk, tools=[TOOL, agents])
        [item] = answer.output
        made.append(item.model_dump(include={"type", "name", "namespace", "arguments"}, exclude_none=True))
        if item.type == "function_call":
            output = {"type": "function_call_output", "call_id": item.call_id, "output": "done"}
            talk += [item.model_dump(exclude_none=True), output]
    assert made == [
        {
            "type": "function_call",
            "name": "spawn",
            "namespace": "agents",
            "arguments": json.dumps(spawning, separators=(",", ":")),
        },
        {"type": "function_call", "name": "wait", "namespace": "agents", "arguments": "{}"},
        {"type": "message"},
    ]


async def test_getting_ready_is_answered_with_nothing_and_the_tokens_of_it(openai_client: openai.AsyncOpenAI) -> None:
    async with openai_client.responses.connect() as talk:
        await talk.send({"type": "response.create", "model": "demo-reasoning", "input": "Hello", "generate": False})
        kinds = []
        async for event in talk:
            kinds.append(event.type)
            if event.type == "response.completed":
                ready = event.response
                break
    assert kinds == ["response.created", "response.in_progress", "response.completed"]
    assert ready.output == []
    assert ready.usage is not None
    assert (ready.usage.input_tokens, ready.usage.output_tokens) == (6, 0)


async def test_what_is_made_in_the_background_is_there_when_polled(openai_client: openai.AsyncOpenAI) -> None:
    begun = await openai_client.responses.create(model="demo", input="Hello", background=True)
    assert (begun.status, begun.output) == ("queued", [])
    ended = await openai_client.responses.retrieve(begun.id)
    assert (ended.id, ended.status) == (begun.id, "completed")
    assert ended.output_text


async def test_a_limit_leaves_a_response_incomplete(openai_client: openai.AsyncOpenAI) -> None:
    answer = await openai_client.responses.create(model="demo", input="Hello", max_output_tokens=2)
    assert answer.status == "incomplete"
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "max_output_tokens"


async def test_both_encodings_of_a_vector_say_the_same(openai_client: openai.AsyncOpenAI) -> None:
    floats = await openai_client.embeddings.create(model="demo", input="sky", dimensions=70, encoding_format="float")
    packed = await openai_client.embeddings.create(
        model="demo", input="sky", dimensions=70
    )  # base64, undone by the SDK
    assert packed.data[0].embedding == floats.data[0].embedding
    assert len(floats.data[0].embedding) == 70


async def test_pictures_are_pngs_and_sounds_are_wavs(openai_client: openai.AsyncOpenAI) -> None:
    images = await openai_client.images.generate(model="demo", prompt="A pixel", n=2)
    assert images.data is not None
    assert all(b64decode(image.b64_json or "").startswith(b"\x89PNG\r\n\x1a\n") for image in images.data)
    speech = await openai_client.audio.speech.create(model="demo", input="Hello", voice="alloy", response_format="wav")
    with wave.open(io.BytesIO(speech.content)) as sound:
        assert sound.getnframes() == 400


async def test_a_transcript_streams_what_it_says_whole(openai_client: openai.AsyncOpenAI) -> None:
    whole = await openai_client.audio.transcriptions.create(model="demo", file=SOUND)
    stream = await openai_client.audio.transcriptions.create(model="demo", file=SOUND, stream=True)
    events = [event async for event in stream]
    assert "".join(event.delta for event in events if event.type == "transcript.text.delta") == whole.text


async def test_moderation_flags_what_is_named(openai_client: openai.AsyncOpenAI) -> None:
    answer = await openai_client.moderations.create(model="demo", input=["a walk", "violence"])
    assert [result.flagged for result in answer.results] == [False, True]


async def test_a_form_without_its_file_is_a_bad_request(openai_client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="file"):
        await openai_client.post("/audio/transcriptions", body={"model": "demo"}, cast_to=object)
