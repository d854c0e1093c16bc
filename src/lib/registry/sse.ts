import { AiotError } from '../core/errors.js';

/** One server-sent event. `id` is where its stream stands behind it; an event without data says only that. */
export interface SentEvent {
  id: string | null;
  data: string | null;
}

/** Characters of one event: more than any body of the API may have. */
const longestEvent = 4 * 1024 * 1024;

/**
 * Server-sent events (HTML standard, 9.2.6 "Interpreting an event stream"; names and retry times are not used here, comments are
 * heartbeats).
 * @throws AIOT_PLATFORM_FAILED for an event that is too long, or that never ends
 */
export async function* sentEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<SentEvent> {
  const decoder = new TextDecoder();
  let rest = '';
  let data: string[] = [];
  let id: string | null = null;
  let news = false;
  let length = 0;
  for await (const chunk of body) {
    rest += decoder.decode(chunk, { stream: true });
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line === '') {
        if (news) yield { id, data: data.length > 0 ? data.join('\n') : null };
        data = [];
        news = false;
        length = 0;
      } else if (line.startsWith('data:')) {
        length += line.length;
        data.push(line.slice(line[5] === ' ' ? 6 : 5));
        news = true;
      } else if (line.startsWith('id:')) {
        id = line.slice(line[3] === ' ' ? 4 : 3);
        news = true;
      }
    }
    if (rest.length + length > longestEvent)
      throw new AiotError('AIOT_PLATFORM_FAILED', `an event is longer than ${longestEvent} characters`);
  }
}

/** Their data alone. */
export async function* eventData(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  for await (const { data } of sentEvents(body)) if (data !== null) yield data;
}
