import type { Delivery, Source } from './message.js';

/** A source's deliveries one by one, for readers that need no batches. */
export async function* deliveriesOf(source: Source): AsyncGenerator<Delivery> {
  for await (const batch of source) yield* batch;
}
