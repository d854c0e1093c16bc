import type { ServerResponse } from 'node:http';
import { onAbort } from '../../core/index.js';
import type { EventFilter, PlatformEvent } from '../../registry/index.js';
import type { EventFeed } from './feed.js';

/** A comment now and then keeps a connection from looking dead, and tells the client how far the log was looked at, ms. */
const heartbeatMs = 15_000;
/** A client that takes nothing for so long is cut off: it comes back and goes on where it stood, ms. */
const patienceMs = 30_000;
/** How soon a client that lost its connection is to come back, ms. */
const retryMs = 2000;

export interface StreamOptions extends EventFilter {
  /** Id behind which it begins. */
  after: number;
  /** End after so many. */
  limit?: number | undefined;
}

/**
 * Server-sent events of the log, as long as the client takes them (HTML standard, 9.2). Nothing is held for a client that is slow:
 * what it has not taken is read again when it does.
 */
export async function streamEvents(
  feed: EventFeed,
  { after, limit = Number.POSITIVE_INFINITY, ...filter }: StreamOptions,
  response: ServerResponse,
): Promise<void> {
  const ended = new AbortController();
  response.on('close', () => ended.abort());
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  });
  let position = after;
  let left = limit;
  // The place is told before anything has happened: who is cut off at once begins there again.
  response.write(`retry: ${retryMs}\nid: ${position}\n\n`);
  const beat = setInterval(() => {
    if (!response.writableNeedDrain) response.write(`: still here\nid: ${position}\n\n`);
  }, heartbeatMs);
  try {
    for await (const { events, last } of feed.follow(after, ended.signal, filter)) {
      for (const event of events) {
        if (!response.write(frameOf(event)) && !(await drained(response, ended.signal))) return;
        position = event.id;
        if (--left <= 0) return;
      }
      position = last;
    }
  } finally {
    clearInterval(beat);
    response.end();
    // One that takes nothing would never see the end.
    if (response.writableNeedDrain) response.destroy();
  }
}

/** Made once, however many listen. */
const frames = new WeakMap<PlatformEvent, string>();

function frameOf(event: PlatformEvent): string {
  const frame = frames.get(event) ?? `id: ${event.id}\ndata: ${JSON.stringify(event)}\n\n`;
  frames.set(event, frame);
  return frame;
}

/** Whether the client takes more within its time. */
function drained(response: ServerResponse, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (taken: boolean) => {
      clearTimeout(timer);
      response.off('drain', onDrain);
      leave();
      resolve(taken);
    };
    const onDrain = () => end(true);
    const timer = setTimeout(() => end(false), patienceMs);
    response.on('drain', onDrain);
    const leave = onAbort(signal, () => end(false));
  });
}
