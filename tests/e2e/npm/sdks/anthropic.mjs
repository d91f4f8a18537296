// Anthropic's own npm package: Messages, its tool runner, token counts, errors.
import Anthropic from '@anthropic-ai/sdk';
import { drained, run } from './recording.mjs';

const baseURL = process.argv[2];
const client = (fetch, maxRetries = 0) => new Anthropic({ apiKey: 'any', baseURL, fetch, maxRetries });
const common = { model: 'demo', max_tokens: 500, messages: [{ role: 'user', content: 'Hello there' }] };
const asked = [{ role: 'user', content: 'How is the weather in Braga?' }];
const input_schema = { type: 'object', properties: { city: { type: 'string' } } };
const message = (fields) => (fetch) => client(fetch).messages.create({ ...common, ...fields });
const stream = (fields) => async (fetch) =>
  drained(await client(fetch).messages.create({ ...common, stream: true, ...fields }));
const errors = [400, 401, 403, 404, 413, 429, 500, 529];

await run({
  message: message({ system: 'Be brief.' }),
  'message-gzip': message({ model: 'demo-gzip' }),
  'message-cached': message({ system: [{ type: 'text', text: 'Be brief.', cache_control: { type: 'ephemeral' } }] }),
  stream: stream({ model: 'demo-reasoning' }),
  'stream-br': stream({ model: 'demo-br' }),
  'stream-helper': (fetch) => client(fetch).messages.stream(common).finalMessage(),
  tools: async (fetch) => {
    const weather = { name: 'weather', input_schema, parse: (input) => input, run: ({ city }) => `17 degrees in ${city}` };
    const runner = client(fetch).beta.messages.toolRunner({ ...common, model: 'demo-tools', messages: asked, tools: [weather] });
    const answer = await runner.runUntilDone();
    return { answer, messages: runner.params.messages };
  },
  'tools-stream': stream({ model: 'demo-tools', messages: asked, tools: [{ name: 'weather', input_schema }] }),
  count: (fetch) => client(fetch).messages.countTokens({ model: 'demo', messages: asked }),
  'error-in-stream': stream({ model: 'demo-error-in-stream' }),
  'cut-stream': stream({ model: 'demo-cut-mid-stream' }),
  refused: message({ messages: [{ role: 'user', content: 'Tell me about nightjar' }] }),
  retried: (fetch) => client(fetch, 2).messages.create({ ...common, model: 'demo-flaky' }),
  ...Object.fromEntries(errors.map((status) => [`error-${status}`, message({ model: `demo-error-${status}` })])),
});
