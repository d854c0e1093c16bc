import { AiotError } from '../../core/index.js';

/**
 * The JSON of each line of a stream, as Argo's server sends them: `data: {…}` with empty lines between as server-sent events, or the
 * object alone. What is no JSON is passed over (comments, a line that was cut off at the end).
 * @param most longest line, characters @throws AIOT_ARGO_FAILED
 */
export async function* jsonLines(body: AsyncIterable<Uint8Array>, most: number): AsyncGenerator<unknown> {
  const decoder = new TextDecoder();
  let parts: string[] = [];
  let length = 0;
  for await (const chunk of body) {
    const [first = '', ...more] = decoder.decode(chunk, { stream: true }).split('\n');
    parts.push(first);
    length += first.length;
    if (length > most)
      throw new AiotError('AIOT_ARGO_FAILED', `the server sent a line of more than ${most} characters`);
    for (const next of more) {
      const value = jsonIn(parts.join(''));
      if (value !== undefined) yield value;
      parts = [next];
      length = next.length;
    }
  }
  const value = jsonIn(parts.join(''));
  if (value !== undefined) yield value;
}

function jsonIn(line: string): unknown {
  const text = line.replace(/^data:/, '').trim();
  if (!text.startsWith('{')) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
