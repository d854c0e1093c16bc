import type { Events } from '../services/events.js';
import type { Store } from '../store/database.js';

/**
 * Tells of each stream once that there is telemetry of it: a dataset. Called behind each message; what was seen before costs a look
 * into a set. Telemetry is durable elsewhere than the state: after a crash in between, the stream's next message tells.
 */
export function datasetsSeen(
  store: Store,
  events: Events,
): (stream: string, device: string) => Promise<void> {
  const known = new Set<string>();
  return async (stream, device) => {
    if (known.has(stream)) return;
    await store.transaction().execute(async (transaction) => {
      const { numInsertedOrUpdatedRows } = await transaction
        .insertInto('meta')
        .values({ key: `dataset:${stream}`, value: device })
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirst();
      if ((numInsertedOrUpdatedRows ?? 0n) === 0n) return;
      await events.record({ who: `device ${device}`, type: 'dataset.create', subject: stream }, transaction);
    });
    known.add(stream);
  };
}
