import type { Offered } from '../streams/held.js';

/** What is used of aedes' persistence, which is not in its types; a test holds it to this. */
interface Persisting {
  persistence: {
    createRetainedStreamCombi(
      filters: string[],
    ): AsyncIterable<{ topic: string; payload: Buffer; qos?: 0 | 1 | 2 }>;
  };
}

/** The broker's retained messages on a filter. */
export async function retainedIn(aedes: unknown, filter: string): Promise<Offered[]> {
  const kept: Offered[] = [];
  for await (const packet of (aedes as Persisting).persistence.createRetainedStreamCombi([filter])) {
    const { topic, payload, qos = 0 } = packet;
    kept.push({ topic, payload: Buffer.from(payload), qos, retain: true });
  }
  return kept;
}
