/** One server-sent event. `id` is where its stream stands behind it; an event without data says only that. */
export interface SentEvent {
  id: string | null;
  data: string | null;
}

/**
 * Server-sent events (HTML standard, 9.2.6 "Interpreting an event stream"; names and retry times are not used here, comments are
 * heartbeats).
 */
export async function* sentEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<SentEvent> {
  const decoder = new TextDecoder();
  let rest = '';
  let data: string[] = [];
  let id: string | null = null;
  let news = false;
  for await (const chunk of body) {
    rest += decoder.decode(chunk, { stream: true });
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line === '') {
        if (news) yield { id, data: data.length > 0 ? data.join('\n') : null };
        data = [];
        news = false;
      } else if (line.startsWith('data:')) {
        data.push(line.slice(line[5] === ' ' ? 6 : 5));
        news = true;
      } else if (line.startsWith('id:')) {
        id = line.slice(line[3] === ' ' ? 4 : 3);
        news = true;
      }
    }
  }
}

/** Their data alone. */
export async function* eventData(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  for await (const { data } of sentEvents(body)) if (data !== null) yield data;
}
