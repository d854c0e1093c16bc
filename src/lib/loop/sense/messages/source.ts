import type { Source } from '../../../stream/index.js';
import { openSource } from '../../../stream/index.js';
import type { SensorAddress } from '../address.js';
import type { Tell } from '../events.js';
import { unitIn } from '../fields/map.js';
import type { Incoming, RawSource, SensingContract, SensingOptions } from '../types.js';
import { createBatcher } from './batcher.js';

export interface MessagesOptions {
  address: SensorAddress;
  contract: SensingContract;
  stream: SensingOptions['stream'];
  signal: AbortSignal;
  monotonicMs: () => number;
  wallMs: () => number;
  tell: Tell;
}

/**
 * The messages of any stream as samples. Its adapter comes back by itself after its far side was away.
 * @throws what opening the stream throws
 */
export async function openMessages(options: MessagesOptions): Promise<RawSource> {
  const { address, contract, signal, tell } = options;
  const faults = { overruns: 0, retries: 0, reconnects: 0 };
  const batcher = createBatcher(contract, address, tell);
  let connected = true;
  const source: Source = await openSource(address.url, {
    ...options.stream,
    signal,
    onState(state) {
      const now = state === 'connected';
      if (now === connected) return;
      connected = now;
      if (now) {
        faults.reconnects++;
        // A board that was unplugged has begun anew; a broker's messages say by their times what is missing.
        if (batcher.timing === 'arrival' || address.scheme === 'serial') batcher.cut();
        tell('found', `${source.endpoint} is back`);
      } else tell('lost', `${source.endpoint} is gone: waiting for it`);
    },
  });
  const offset = options.wallMs() - options.monotonicMs();
  let kept = address.scheme === 'file';
  let skipped = 0;
  let dropped = 0;
  let topic: string | null = null;

  const skip = (why: string) => {
    skipped++;
    tell('skipped', `a message is no sample: ${why} (${skipped} so far)`);
  };

  async function* batches(): AsyncGenerator<Incoming> {
    for await (const deliveries of source) {
      if (source.dropped > dropped) {
        batcher.dropped(source.dropped - dropped);
        dropped = source.dropped;
      }
      const now = options.monotonicMs() + offset;
      for (const { message } of deliveries) {
        topic ??= message.topic;
        if (message.topic !== topic && contract.rateHz !== null) {
          skip(`it is of ${message.topic}, and ${topic} is taken; one sensor is one topic`);
          continue;
        }
        // A log, and a recording, say when each was written; elsewhere it is now.
        kept ||= message.position !== undefined;
        const why = batcher.add(message.payload, kept ? message.time : now);
        if (why !== null) skip(why);
      }
      yield* batcher.take();
      for (const delivery of deliveries) delivery.ack();
    }
  }

  return {
    endpoint: source.endpoint,
    // Units of messages are the contract's, unless the address says otherwise.
    fields: contract.fields.map((field) => ({
      name: field.name,
      unit: unitIn(address.fields, { name: address.fields.map[field.name] ?? field.name }, field) ?? '',
    })),
    get rateHz() {
      return batcher.rateHz;
    },
    get timing() {
      return batcher.timing;
    },
    get kept() {
      return kept;
    },
    get connected() {
      return connected;
    },
    faults,
    [Symbol.asyncIterator]: () => batches(),
    close: () => source.close(),
  };
}
