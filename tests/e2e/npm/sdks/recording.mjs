// Runs named cases against one base URL, and prints what the client library made of each answer beside what came.
//
//   node PROGRAM.mjs URL   →   {case: {result | error, answers: [{status, exchange, bytes, sha256, whole}]}}
//
// An answer's bytes are those of the body after content decoding, as `fetch` gives them to the library.
import { createHash } from 'node:crypto';

/** Each case is called with a `fetch` of its own; cases run one after the other, so that requests have an order. */
export async function run(cases) {
  const told = {};
  for (const [name, ask] of Object.entries(cases)) {
    const answers = [];
    const recording = recordingFetch(answers);
    told[name] = { ...(await outcome(() => ask(recording))), answers: await Promise.all(answers) };
  }
  process.stdout.write(JSON.stringify(told));
}

/** All of a stream, and how it ended. */
export async function drained(stream) {
  const events = [];
  try {
    for await (const event of stream) events.push(event);
  } catch (error) {
    return { events, error: described(error) };
  }
  return { events };
}

function recordingFetch(answers) {
  return async (input, init) => {
    const response = await fetch(input, init);
    answers.push(seen(response.clone()));
    return response;
  };
}

async function seen(response) {
  const hash = createHash('sha256');
  let bytes = 0;
  let whole = true;
  try {
    for await (const chunk of response.body ?? []) {
      hash.update(chunk);
      bytes += chunk.length;
    }
  } catch {
    whole = false;
  }
  const exchange = response.headers.get('x-spangate-exchange');
  return { status: response.status, exchange, bytes, sha256: hash.digest('hex'), whole };
}

async function outcome(asking) {
  try {
    return { result: await asking() };
  } catch (error) {
    return { error: described(error) };
  }
}

/** What a program can tell from an error: no stack and no headers, to which a gateway may add. */
function described(error) {
  const fields = ['status', 'statusCode', 'type', 'code', 'param', 'requestID', 'message', 'error', 'responseBody', 'isRetryable'];
  const said = Object.fromEntries(fields.filter((field) => error[field] != null).map((field) => [field, error[field]]));
  return { class: error.constructor.name, ...said };
}
