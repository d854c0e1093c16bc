import type { LabelSpan, LabelsRequest, RecordingShown } from '../../api/contract/data.js';
import type { Events } from '../events/events.js';
import type { Store } from '../store/database.js';

type NewLabel = LabelsRequest['labels'][number];

/** Labels of a whole recording and of its parts. Where two parts overlap, the later label applies. */
export interface RecordingLabels {
  label: string | null;
  parts: LabelSpan[];
}

interface Labelled {
  stream: string;
  device: string;
  recording: string;
}

/** Labels set by operators. The latest label applies, and all labels are stored as long as the recording. */
export interface Labels {
  /** Adds all of the labels, or none. */
  give(stream: string, labels: readonly NewLabel[], who: string): Promise<void>;
  /** Labels of the stream's whole recordings, by `device/recording`. */
  ofStream(stream: string): Promise<Map<string, string>>;
  /** Labels of whole recordings in all streams; needed because an inference does not name its source stream. */
  all(): Promise<Map<string, string>>;
  /** `device/recording` → labels, for recordings of the stream that have any. */
  ofDevices(stream: string, devices: readonly string[]): Promise<Map<string, RecordingLabels>>;
  history(stream: string, device: string, recording: string): Promise<RecordingShown['history']>;
  /** Deletes all labels of a removed recording, because a new recording under the same name is a different one. */
  forget(of: Labelled, transaction: Store): Promise<void>;
}

/** Number of rows written per statement. */
const together = 500;

export function labelsIn(store: Store, now: () => number, events: Events): Labels {
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
    async give(stream, labels, who) {
      const at = now();
      await store.transaction().execute(async (transaction) => {
        for (let i = 0; i < labels.length; i += together) {
          const rows = labels.slice(i, i + together).map(({ from = null, to = null, ...label }) => {
            return { ...label, stream, at, who, fromT: from, toT: to };
          });
          await transaction.insertInto('labelEvents').values(rows).execute();
        }
        for (const { device, recording, label, from, to } of labels) {
          const of = { stream, device, recording };
          if (from === undefined) await setWhole(transaction, of, label, at);
          const subject = `${stream}/${device}/${recording}`;
          const part = from === undefined || to === undefined ? {} : { from, to };
          await events.record({ who, type: 'data.label', subject, data: { label, ...part } }, transaction);
        }
      });
    },
    ofStream: (stream) => read(stream),
    all: () => read(),
    async ofDevices(stream, devices) {
      const found = new Map<string, RecordingLabels>();
      for (let i = 0; i < devices.length; i += together) {
        const rows = await store
          .selectFrom('labelEvents')
          .select(['device', 'recording', 'label', 'fromT', 'toT'])
          .where('stream', '=', stream)
          .where('device', 'in', devices.slice(i, i + together))
          .orderBy('id')
          .execute();
        for (const row of rows) addWord(found, row);
      }
      return found;
    },
    async forget({ stream, device, recording }, transaction) {
      for (const table of ['labels', 'labelEvents'] as const)
        await transaction
          .deleteFrom(table)
          .where('stream', '=', stream)
          .where('device', '=', device)
          .where('recording', '=', recording)
          .execute();
    },
    async history(stream, device, recording) {
      const rows = await store
        .selectFrom('labelEvents')
        .select(['at', 'who', 'label', 'fromT', 'toT'])
        .where('stream', '=', stream)
        .where('device', '=', device)
        .where('recording', '=', recording)
        .orderBy('id')
        .execute();
      return rows.map(({ fromT: from, toT: to, ...row }) => ({ ...row, from, to }));
    },
  };
}

async function setWhole(store: Store, of: Labelled, label: string | null, given: number): Promise<void> {
  if (label === null) {
    await store
      .deleteFrom('labels')
      .where('stream', '=', of.stream)
      .where('device', '=', of.device)
      .where('recording', '=', of.recording)
      .execute();
    return;
  }
  await store
    .insertInto('labels')
    .values({ ...of, label, given })
    .onConflict((conflict) =>
      conflict.columns(['stream', 'device', 'recording']).doUpdateSet({ label, given }),
    )
    .execute();
}

function addWord(
  found: Map<string, RecordingLabels>,
  row: { device: string; recording: string; label: string | null; fromT: number | null; toT: number | null },
): void {
  const key = `${row.device}/${row.recording}`;
  const { label: whole, parts } = found.get(key) ?? { label: null, parts: [] };
  const { label, fromT: from, toT: to } = row;
  if (from === null || to === null) found.set(key, { label, parts });
  else {
    // A label of the same part replaces the previous one.
    const others = parts.filter((part) => part.from !== from || part.to !== to);
    found.set(key, { label: whole, parts: label === null ? others : [...others, { label, from, to }] });
  }
}

/** Returns the label of the sample at this time. */
export function labelAt({ label, parts }: RecordingLabels, t: number): string | null {
  return parts.findLast(({ from, to }) => from <= t && t <= to)?.label ?? label;
}
