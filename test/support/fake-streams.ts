import type { Delivery, Message, OutgoingMessage, Sink, Source } from '../../src/lib/stream/message.js';

/** A source that records how each message was settled: `acked` and `nacked` contain payloads, in that order. */
export interface FakeSource extends Source {
  acked: string[];
  give(...messages: Partial<Message>[]): void;
  end(error?: unknown): void;
  closed: boolean;
}

/** A source that a test fills. Acks after the source is closed are ignored, as in real sources. */
export function fakeSource(endpoint = 'mqtt://in'): FakeSource {
  let waiting: Delivery[] = [];
  let ended: { error?: unknown } | undefined;
  let wake: (() => void) | undefined;
  const source: FakeSource = {
    endpoint,
    dropped: 0,
    acked: [],
    closed: false,
    give(...messages) {
      for (const given of messages) {
        const message: Message = {
          topic: 't',
          payload: Buffer.from(''),
          time: 1000,
          source: endpoint,
          ...given,
        };
        const settle = () => {
          if (!source.closed) source.acked.push(text(message.payload));
        };
        waiting.push({ message, ack: settle, nack: () => {} });
      }
      wake?.();
    },
    end(error) {
      ended = error === undefined ? {} : { error };
      wake?.();
    },
    async *[Symbol.asyncIterator]() {
      for (;;) {
        if (waiting.length > 0) {
          const batch = waiting;
          waiting = [];
          yield batch;
        } else if (ended?.error !== undefined) throw ended.error;
        else if (ended || source.closed) return;
        else
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
      }
    },
    async close() {
      source.closed = true;
      wake?.();
    },
  };
  return source;
}

export interface FakeSink extends Sink {
  written: OutgoingMessage[];
  batches: number[];
  /** Called before each write; makes it fail by throwing. */
  before: (messages: readonly OutgoingMessage[]) => void | Promise<void>;
  payloads(): string[];
  closed: boolean;
}

export function fakeSink(endpoint = 'mqtt://out'): FakeSink {
  const sink: FakeSink = {
    endpoint,
    written: [],
    batches: [],
    before: () => {},
    closed: false,
    payloads: () => sink.written.map(({ payload }) => text(payload)),
    async write(messages) {
      await sink.before(messages);
      sink.batches.push(messages.length);
      sink.written.push(...messages);
    },
    async close() {
      sink.closed = true;
    },
  };
  return sink;
}

export const text = (payload: Uint8Array) => Buffer.from(payload).toString();

export async function until(condition: () => boolean, timeoutMs = 20_000): Promise<void> {
  for (const deadline = Date.now() + timeoutMs; !condition(); ) {
    if (Date.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
