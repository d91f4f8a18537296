// OpenAI's own npm package: Chat Completions, its tool runner, Responses, Embeddings, errors.
import OpenAI from 'openai';
import { drained, run } from './recording.mjs';

const baseURL = process.argv[2];
const client = (fetch) => new OpenAI({ apiKey: 'any', baseURL, fetch, maxRetries: 0 });
const messages = [{ role: 'user', content: 'Hello there' }];
const asked = [{ role: 'user', content: 'How is the weather in Braga?' }];
const parameters = { type: 'object', properties: { city: { type: 'string' } } };
const chat = (fields) => (fetch) => client(fetch).chat.completions.create({ model: 'demo', messages, ...fields });
const stream = (fields) => async (fetch) =>
  drained(await client(fetch).chat.completions.create({ model: 'demo', messages, stream: true, ...fields }));
const errors = [400, 401, 403, 404, 429, 500, 529];

await run({
  chat: chat({}),
  'chat-gzip': chat({ model: 'demo-gzip' }),
  'chat-stream': stream({ model: 'demo-reasoning', stream_options: { include_usage: true } }),
  'chat-stream-br': stream({ model: 'demo-br', stream_options: { include_usage: true } }),
  'chat-stream-helper': (fetch) =>
    client(fetch).chat.completions.stream({ model: 'demo', messages, stream_options: { include_usage: true } }).finalChatCompletion(),
  'chat-tools': async (fetch) => {
    const weather = { name: 'weather', parameters, parse: JSON.parse, function: ({ city }) => `17 degrees in ${city}` };
    const tools = [{ type: 'function', function: weather }];
    const runner = client(fetch).chat.completions.runTools({ model: 'demo-tools', messages: asked, tools });
    return { answer: await runner.finalContent(), messages: runner.messages, usage: await runner.totalUsage() };
  },
  responses: (fetch) => client(fetch).responses.create({ model: 'demo', input: 'Hello there', instructions: 'Be brief.' }),
  'responses-stream': async (fetch) =>
    drained(await client(fetch).responses.create({ model: 'demo-reasoning', input: 'Hello there', stream: true })),
  'responses-tools': (fetch) =>
    client(fetch).responses.create({
      model: 'demo-tools',
      input: 'How is the weather in Braga?',
      tools: [{ type: 'function', name: 'weather', parameters, strict: false }],
    }),
  embeddings: (fetch) => client(fetch).embeddings.create({ model: 'demo', input: ['The sky', 'The sea'] }),
  models: async (fetch) => drained(await client(fetch).models.list()),
  'error-in-stream': stream({ model: 'demo-error-in-stream' }),
  'cut-stream': stream({ model: 'demo-cut-mid-stream' }),
  refused: chat({ messages: [{ role: 'user', content: 'Tell me about nightjar' }] }),
  retried: (fetch) =>
    new OpenAI({ apiKey: 'any', baseURL, fetch, maxRetries: 2 }).chat.completions.create({ model: 'demo-flaky', messages }),
  ...Object.fromEntries(errors.map((status) => [`error-${status}`, chat({ model: `demo-error-${status}` })])),
});
