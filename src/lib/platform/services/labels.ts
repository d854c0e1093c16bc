import type { LabelRequest } from '../../registry/index.js';
import type { Store } from '../store/database.js';

/** What operators said was recorded; the last word counts. */
export interface Labels {
  give(label: LabelRequest): Promise<void>;
  /** `device/recording` → label, of one stream. */
  ofStream(stream: string): Promise<Map<string, string>>;
  /** The same over all streams: an inference does not say which stream it was made from. */
  all(): Promise<Map<string, string>>;
}

export function labelsIn(store: Store, now: () => number): Labels {
  const read = async (stream?: string) => {
    const rows = await store
      .selectFrom('labels')
      .selectAll()
      .$if(stream !== undefined, (query) => query.where('stream', '=', stream ?? ''))
      .orderBy('given')
      .execute();
    return new Map(rows.map(({ device, recording, label }) => [`${device}/${recording}`, label]));
  };
  return {
    async give(label) {
      const given = now();
      await store
        .insertInto('labels')
        .values({ ...label, given })
        .onConflict((conflict) =>
          conflict.columns(['stream', 'device', 'recording']).doUpdateSet({ label: label.label, given }),
        )
        .execute();
    },
    ofStream: (stream) => read(stream),
    all: () => read(),
  };
}
