// Vercel's AI SDK with its OpenAI provider (Responses and Chat Completions) and its Anthropic provider.
import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { embedMany, generateText, jsonSchema, stepCountIs, streamText, tool } from 'ai';
import { drained, run } from './recording.mjs';

const [openaiURL, anthropicURL] = process.argv.slice(2);
const openai = (fetch) => createOpenAI({ apiKey: 'any', baseURL: openaiURL, fetch });
const anthropic = (fetch) => createAnthropic({ apiKey: 'any', baseURL: anthropicURL, fetch });
const models = {
  responses: (fetch, name) => openai(fetch).responses(name),
  chat: (fetch, name) => openai(fetch).chat(name),
  anthropic: (fetch, name) => anthropic(fetch).messages(name),
};
const asked = { system: 'Be brief.', prompt: 'How is the weather in Braga?', maxOutputTokens: 500, maxRetries: 0 };
const inputSchema = jsonSchema({ type: 'object', properties: { city: { type: 'string' } } });
const tools = { weather: tool({ inputSchema, execute: async ({ city }) => `17 degrees in ${city}` }) };
const looping = { ...asked, tools, stopWhen: stepCountIs(3) };

const cases = {};
for (const [api, model] of Object.entries(models)) {
  const whole = (name, fields) => async (fetch) => told(await generateText({ ...fields, model: model(fetch, name) }));
  const stream = (name, fields) => (fetch) => streamed(streamText({ ...fields, model: model(fetch, name), onError() {} }));
  cases[api] = whole('demo', asked);
  cases[`${api}-stream`] = stream('demo', asked);
  cases[`${api}-reasoning-stream`] = stream('demo-reasoning', asked);
  cases[`${api}-tools`] = whole('demo-tools', looping);
  cases[`${api}-tools-stream`] = stream('demo-tools', looping);
  cases[`${api}-retried`] = whole('demo-error-529', { ...asked, maxRetries: 1 });
  cases[`${api}-error-in-stream`] = stream('demo-error-in-stream', asked);
  cases[`${api}-refused`] = whole('demo', { ...asked, prompt: 'Tell me about nightjar' });
  cases[`${api}-cut-stream`] = stream('demo-cut-mid-stream', asked);
  for (const status of [400, 401, 403, 429, 500, 529]) cases[`${api}-error-${status}`] = whole(`demo-error-${status}`, asked);
}
cases.embeddings = async (fetch) => {
  const { embeddings, usage } = await embedMany({ model: openai(fetch).embedding('demo'), values: ['The sky', 'The sea'] });
  return { embeddings, usage };
};

await run(cases);

function told({ text, reasoningText, finishReason, totalUsage, steps, warnings }) {
  const calls = steps.flatMap(({ toolCalls, toolResults }) => [...toolCalls, ...toolResults]);
  return { text, reasoningText, finishReason, totalUsage, warnings, ids: steps.map(({ response }) => response.id), calls };
}

/** Without headers, to which a gateway adds, and without the library's own clock. */
async function streamed(result) {
  const drainedStream = await drained(result.fullStream);
  const left = new Set(['headers', 'request', 'timestamp']);
  const events = JSON.parse(JSON.stringify(drainedStream.events, (key, value) => (left.has(key) ? undefined : value)));
  return { ...drainedStream, events };
}
