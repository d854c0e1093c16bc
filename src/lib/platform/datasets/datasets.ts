import type {
  DatasetInfo,
  DatasetListing,
  ExportFormat,
  ExportSummary,
  RecordingPoints,
  RecordingShown,
  StoredRecording,
} from '../../api/contract/data.js';
import type { LostTelemetry } from '../../api/damage.js';
import { type PageQuery, pageOfRows } from '../../api/page.js';
import { AiotError } from '../../core/errors.js';
import { thousands } from '../../core/figures.js';
import { didYouMean } from '../../core/text.js';
import { type Reach, requireInReach } from '../access/reach.js';
import type { Entry } from '../journal/entry.js';
import { type LostMessage, lostOf as lostTelemetry, Tallies } from '../journal/lost.js';
import { fieldsOf, missingIn, type Take } from '../journal/takes.js';
import { cursorOf, type StreamTotals, type Telemetry } from '../journal/telemetry.js';
import { csvExport, ndjsonExport, parquetExport, pointsOf, type Samples, samplesOf } from './exports.js';
import { type Labels, labelAt, type RecordingLabels } from './labels.js';

/** Which samples are meant. Absent fields select all. */
interface SampleQuery {
  devices?: readonly string[] | undefined;
  recording?: string | undefined;
  label?: string | undefined;
  from?: number | undefined;
  to?: number | undefined;
  /** Devices that the reader's rights are limited to; absent or null = all. */
  reach?: Reach | null;
}

/** Recorded telemetry as datasets: one per stream. */
export interface Datasets {
  /** With a `reach`, only the streams of these devices, with their counts. */
  list(page: PageQuery, reach?: Reach | null): Promise<{ datasets: DatasetInfo[]; next: string | null }>;
  count(): Promise<number>;
  /** A page of the stream's recordings. @throws AIOT_NOT_FOUND */
  get(
    stream: string,
    query: PageQuery & { devices?: readonly string[] | undefined; label?: string | undefined },
  ): Promise<DatasetListing>;
  /**
   * Requires that for each recording, telemetry in this stream or an inference has arrived.
   * @throws AIOT_NOT_FOUND for the first recording without either
   */
  requireRecordings(
    stream: string,
    recordings: readonly { device: string; recording: string }[],
  ): Promise<void>;
  /** @throws AIOT_NOT_FOUND */
  show(stream: string, device: string, recording: string): Promise<RecordingShown>;
  /** One recording reduced for plotting. @throws AIOT_NOT_FOUND */
  points(
    stream: string,
    device: string,
    recording: string,
    query: { points: number; from?: number | undefined; to?: number | undefined },
  ): Promise<RecordingPoints>;
  /** One recording: its fields, one sample in each line, in recording order. @throws AIOT_NOT_FOUND */
  csv(
    stream: string,
    device: string,
    recording: string,
    reach?: Reach | null,
  ): Promise<AsyncIterable<string> & Pick<DatasetExport, 'summary'>>;
  /**
   * A stream's samples, as the bytes of a file. Once all are read, `summary` lists the unreadable ones. The bytes end with an error when a
   * device leaves the reach, because a shorter file would look complete.
   * @throws AIOT_NOT_FOUND
   */
  export(stream: string, format: ExportFormat, query: SampleQuery): Promise<DatasetExport>;
}

export interface DatasetExport extends AsyncIterable<Buffer> {
  summary(): ExportSummary;
}

/** Returns the unacknowledged telemetry losses of one stream. */
type LostOfStream = (stream: string) => Promise<LostTelemetry[]>;

const writers = { csv: csvExport, ndjson: ndjsonExport, parquet: parquetExport };
const nothing: RecordingLabels = { label: null, parts: [] };

/** Maximum number of places named in a summary, which is sent in an HTTP trailer. */
const mostPlaces = 20;

/** Number of recordings processed at a time. */
const together = 500;

export function datasetsOf(
  telemetry: Telemetry,
  labels: Labels,
  lostOf: LostOfStream = async () => [],
): Datasets {
  /** Suggests a similar name only if all devices may be read, because the name of a stream describes its devices. */
  const find = async (name: string, devices?: readonly string[]): Promise<StreamTotals> => {
    const found = await telemetry.stream(name);
    if (found) return found;
    const lost = (await lostOf(name)).filter(({ stream }) => stream === name);
    const rows = lost.reduce((sum, each) => sum + (each.rows ?? 0), 0);
    if (rows > 0) {
      throw new AiotError(
        'AIOT_NOT_FOUND',
        `all stored rows of the stream ${name} (${thousands(rows)}) are lost, because the journal was damaged`,
        {
          next: 'To see the damage, run `aiot platform acknowledge --dry-run`. To repair it, stop the platform with `aiot down`, then run `aiot platform verify --repair --from BACKUP`.',
        },
      );
    }
    const some = devices === undefined ? await telemetry.streams({ limit: together }) : [];
    const known = some.map((stream) => stream.name);
    throw new AiotError('AIOT_NOT_FOUND', `the stream ${name} has no recordings${didYouMean(name, known)}`, {
      next: "To see arriving data, run `aiot stream tail 'aiot:///aiot/v1/+/telemetry/#'`.",
    });
  };
  const findTake = async (stream: string, device: string, recording: string) => {
    const take = await telemetry.take({ channel: 'telemetry', stream, device, recording });
    if (take) return take;
    throw new AiotError('AIOT_NOT_FOUND', `${device} has no recording ${recording} in ${stream}`, {
      next: `To see its recordings, run \`aiot data list ${stream}\`.`,
    });
  };
  const requireRecordings: Datasets['requireRecordings'] = async (stream, recordings) => {
    const wanted = [...new Map(recordings.map((one) => [cursorOf(one), one])).values()];
    for (let i = 0; i < wanted.length; i += together) {
      const some = wanted.slice(i, i + together);
      const takes = await Promise.all(
        some.map(({ device, recording }) =>
          telemetry.take({ channel: 'telemetry', stream, device, recording }),
        ),
      );
      const unrecorded = some.filter((_, at) => !takes[at]);
      if (unrecorded.length === 0) continue;
      // A device that runs inference does not have to send the telemetry too.
      const predicted = await telemetry.predicted(unrecorded.map(cursorOf));
      const unknown = unrecorded.find((one) => !predicted.has(cursorOf(one)));
      if (!unknown) continue;
      const { device, recording } = unknown;
      throw new AiotError('AIOT_NOT_FOUND', `${device} has no recording ${recording} in ${stream}`, {
        next: `A recording can be labeled after its first message has arrived. To list the recordings, run \`aiot data list ${stream}\`.`,
      });
    }
  };
  const labelled = async (stream: string, takes: readonly Take[]) => {
    const given = await labels.ofDevices(stream, [...new Set(takes.map(({ device }) => device))]);
    return takes.map((take) => ({ take, said: given.get(cursorOf(take)) ?? nothing }));
  };
  const recordingsOf = async function* (
    stream: string,
    devices: readonly string[] | undefined,
    after?: string,
  ) {
    for (let behind = after; ; ) {
      const takes = await telemetry.takes({ stream, devices, after: behind, limit: together });
      yield* await labelled(stream, takes);
      const last = takes.at(-1);
      if (!last || takes.length < together) return;
      behind = cursorOf(last);
    }
  };
  /** A stream's recordings with their labels, in order. */
  const recordings = async function* (
    stream: string,
    devices: readonly string[] | undefined,
    after?: string,
  ) {
    if (devices === undefined) return yield* recordingsOf(stream, undefined, after);
    const sorted = [...devices].sort();
    for (let i = 0; i < sorted.length; i += together)
      yield* recordingsOf(stream, sorted.slice(i, i + together), after);
  };
  /** A stream's counts over the recordings of some devices; null if it has none of them. */
  const infoWithin = async (name: string, reach: Reach): Promise<DatasetInfo | null> => {
    const info = { name, recordings: 0, messages: 0, samples: 0, bytes: 0, duplicates: 0 };
    const counts = new Map<string, number>();
    for await (const { take, said } of recordings(name, undefined)) {
      if (!reach.has(take.device)) continue;
      info.recordings++;
      for (const key of ['messages', 'samples', 'bytes', 'duplicates'] as const) info[key] += take[key];
      if (said.label !== null) counts.set(said.label, (counts.get(said.label) ?? 0) + 1);
    }
    return info.recordings === 0 ? null : { ...info, labels: Object.fromEntries(counts) };
  };
  const infoOf = async ({ fields: _, ...totals }: StreamTotals): Promise<DatasetInfo> => {
    const counts = new Map<string, number>();
    for (const [key, label] of await labels.ofStream(totals.name)) {
      const [device = '', recording = ''] = key.split('/');
      const take = await telemetry.take({ channel: 'telemetry', stream: totals.name, device, recording });
      if (take) counts.set(label, (counts.get(label) ?? 0) + 1);
    }
    return { ...totals, labels: Object.fromEntries(counts) };
  };
  /**
   * Summarizes the data that an export could not read. Includes known losses that the read did not encounter, because a
   * rebuilt index does not list them.
   */
  const summaryOf = async (
    stream: string,
    query: SampleQuery,
    counted: { rows: number; met: Tallies },
  ): Promise<ExportSummary> => {
    await telemetry.settled();
    const met = counted.met.all().map(lostTelemetry);
    const known = (await lostOf(stream)).filter(
      (lost) =>
        reaches(lost, query) &&
        !met.some(({ device }) => lost.device === undefined || device === lost.device),
    );
    const places = [...met, ...known];
    const rows = places.reduce((sum, lost) => sum + (lost.rows ?? 0), 0);
    return {
      rows: counted.rows,
      damaged: { rows, places: places.slice(0, mostPlaces), more: Math.max(0, places.length - mostPlaces) },
    };
  };
  const samples = async function* (
    stream: string,
    query: SampleQuery,
    lost: (message: LostMessage) => void = () => {},
  ): AsyncGenerator<Samples> {
    const { devices, recording, label, from, to, reach = null } = query;
    const one = oneOf(query);
    const all = one ? await labelled(stream, [await findTake(stream, ...one)]) : recordings(stream, devices);
    for await (const { take, said } of all) {
      if (recording !== undefined && take.recording !== recording) continue;
      if ((take.startedAt ?? 0) > (to ?? Infinity)) continue;
      if (label !== undefined && said.label !== label && !said.parts.some((part) => part.label === label))
        continue;
      const filter = { from, to, label, labelAt: (t: number) => labelAt(said, t) };
      for await (const entry of telemetry.read(take, { from, to }, lost)) {
        requireInReach(reach, [take.device]);
        const some = samplesOf(take, entry, filter);
        if (some) yield some;
      }
    }
  };
  /** Yields the bytes, and collects a summary of what could not be read. */
  const summed = <T>(
    stream: string,
    query: SampleQuery,
    write: (lost: (message: LostMessage) => void) => AsyncIterable<T>,
    counted = { rows: 0 },
  ) => {
    const met = new Tallies();
    let summary: ExportSummary = { rows: 0, damaged: { rows: 0, places: [], more: 0 } };
    const bytes = async function* () {
      yield* write(({ key: { device }, t, rows }) =>
        met.add({ stream, device, messages: 1, rows, from: t, to: t }),
      );
      summary = await summaryOf(stream, query, { rows: counted.rows, met });
    };
    return Object.assign(bytes(), { summary: () => summary });
  };
  return {
    requireRecordings,
    async list({ limit, after }, reach = null) {
      const found = await telemetry.streams({ after, limit: limit + 1 });
      const { entries, next } = pageOfRows(found, limit, ({ name }) => name);
      const datasets: DatasetInfo[] = [];
      for (const totals of entries) {
        const info = reach ? await infoWithin(totals.name, reach) : await infoOf(totals);
        if (info) datasets.push(info);
      }
      return { datasets, next };
    },
    async count() {
      return (await telemetry.streams({ limit: 100_000 })).length;
    },
    async get(name, { limit, after, devices, label }) {
      const { fields } = await find(name, devices);
      const rows: { take: Take; said: RecordingLabels }[] = [];
      for await (const row of recordings(name, devices, after)) {
        if (label !== undefined && row.said.label !== label) continue;
        if (rows.push(row) > limit) break;
      }
      const { entries, next } = pageOfRows(rows, limit, ({ take }) => cursorOf(take));
      return { name, fields, recordings: entries.map(({ take, said }) => shown(take, said)), next };
    },
    async show(stream, device, recording) {
      const take = await findTake(stream, device, recording);
      const { fields } = await find(stream);
      const [row] = await labelled(stream, [take]);
      const said = row?.said ?? nothing;
      const history = await labels.history(stream, device, recording);
      return { ...shown(take, said), stream, fields, history };
    },
    async points(stream, device, recording, { points: most, from, to }) {
      const { rateHz } = await findTake(stream, device, recording);
      const { fields } = await find(stream);
      const batches = samples(stream, { devices: [device], recording, from, to });
      return { fields, ...(await pointsOf(fields, batches, { most, rateHz })) };
    },
    async csv(stream, device, recording, reach = null) {
      const { fields } = await find(stream);
      const take = await findTake(stream, device, recording);
      const query = { devices: [device], recording };
      const entries = async function* (lost: (message: LostMessage) => void) {
        for await (const entry of telemetry.read(take, {}, lost)) {
          requireInReach(reach, [device]);
          yield entry;
        }
      };
      return summed(stream, query, (lost) => plainCsv(fields, entries(lost)));
    },
    async export(stream, format, query) {
      const { fields } = await find(stream, query.devices);
      const one = oneOf(query);
      if (one) await findTake(stream, ...one);
      const counted = { rows: 0 };
      const count = async function* (all: AsyncIterable<Samples>) {
        for await (const some of all) {
          counted.rows += some.t.length;
          yield some;
        }
      };
      const write = (lost: (message: LostMessage) => void) =>
        writers[format](fields, count(samples(stream, query, lost)));
      return summed(stream, query, write, counted);
    },
  };
}

async function* plainCsv(fields: readonly string[], entries: AsyncIterable<Entry>): AsyncGenerator<string> {
  yield `${fields.join(',')}\n`;
  for await (const entry of entries) {
    const columns = new Map(fieldsOf(entry.payload));
    const count = Math.max(0, ...[...columns.values()].map((column) => column.length));
    let rows = '';
    for (let i = 0; i < count; i++) {
      rows += `${fields.map((field) => columns.get(field)?.[i] ?? '').join(',')}\n`;
    }
    if (rows) yield rows;
  }
}

function shown(take: Take, { label, parts }: RecordingLabels): StoredRecording {
  const {
    recording: id,
    device,
    rateHz,
    messages,
    samples,
    bytes,
    duplicates,
    outOfOrder,
    late,
    future,
  } = take;
  return {
    ...{ id, device, label, parts, rateHz, messages, samples, bytes, duplicates },
    startedAt: timeOf(take.startedAt),
    endedAt: timeOf(take.endedAt),
    ...{ missing: missingIn(take), outOfOrder, late, future },
    firstAt: timeOf(take.firstAt),
    lastAt: timeOf(take.lastAt),
  };
}

/** The device and the name of the recording, if the query means a single one. */
function oneOf({ devices, recording }: SampleQuery): [device: string, recording: string] | undefined {
  const [device] = devices ?? [];
  return devices?.length === 1 && device !== undefined && recording !== undefined
    ? [device, recording]
    : undefined;
}

/** Whether the lost telemetry may be among the requested samples. */
function reaches({ device, from, to }: LostTelemetry, query: SampleQuery): boolean {
  if (device !== undefined && query.devices !== undefined && !query.devices.includes(device)) return false;
  const before = to !== undefined && query.from !== undefined && Date.parse(to) < query.from;
  const after = from !== undefined && query.to !== undefined && Date.parse(from) > query.to;
  return !before && !after;
}

/** Devices can report any number as a time. The API returns whole milliseconds, or null if the number is not a valid time. */
function timeOf(t: number | null): number | null {
  return t !== null && Math.abs(t) <= 8.64e15 ? Math.floor(t) : null;
}
