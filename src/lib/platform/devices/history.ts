import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Logger } from 'pino';
import {
  bucketWidths,
  type HistoryQuery,
  type LatencyHistory,
  type PredictionHistory,
  type PresenceHistory,
} from '../../api/contract/history.js';
import { newId } from '../../core/names.js';
import { parsedJson } from '../../core/text.js';
import { inferenceSchema } from '../../device/protocol/messages.js';
import { mayConnect } from '../../fleet/device.js';
import {
  addTo,
  type BucketRange,
  bucketRange,
  type Counts,
  latencyBucket,
  latencyBuckets,
  latencyQuantile,
  mostKeys,
  otherKey,
  packCounts,
  startOf,
  unpackCounts,
} from '../../fleet/history.js';
import type { Entry } from '../journal/entry.js';
import { positionKeys } from '../journal/positions.js';
import type { Telemetry } from '../journal/telemetry.js';
import type { Store } from '../store/database.js';
import { every, type Worker } from '../workers.js';
import type { Devices } from './devices.js';

interface HistoryParts {
  store: Store;
  devices: Devices;
  telemetry: Pick<Telemetry, 'reader'>;
  log: Logger;
  /** ms since 1970 */
  now: () => number;
}

/** Key of the worker's position in the stored messages. */
const positionKey = positionKeys.history;
/** How often messages are counted, ms. */
const periodMs = 15_000;
/** Devices need a moment to reconnect after a restart. Until then, they are not counted as offline, ms. */
const settleMs = 45_000;
const [minuteMs, hourMs, dayMs] = [60_000, 3_600_000, 86_400_000];
/** A look at the fleet that is this many minutes late counts for the minutes before it too, because the platform was running. */
const mostLateMinutes = 5;
/** Number of devices in a row, of messages in a transaction, of names in a statement, and of buckets in a read. */
const [devicesInPart, entriesTogether, rowsTogether, bucketsTogether] = [256, 20_000, 100, 8];
/** Number of rows that are packed, written or unpacked, and of devices that are counted, before other requests get a turn. */
const [rowsInTurn, devicesInTurn] = [4, 500];
/** The part with all devices together. */
const everyDevice = -1;
/** Longest class in characters, and number of classes in a response. */
const [longestClass, mostClasses] = [64, 20];
/** Name of a device without a registration in the history is kept as long as its counts, days. */
const keptDays = 31;

type Kind = 'presence' | 'predictions' | 'latency';
const kinds: readonly Kind[] = ['presence', 'predictions', 'latency'];
/**
 * Maximum number of keys, or for latency of models, in a device's counts and in a part. Devices choose them, so that one device must not take
 * those of the fleet. A model has at most `latencyBuckets` keys of latency.
 */
const limits: Record<Kind, { own: number; part: number }> = {
  presence: { own: 2, part: 2 },
  predictions: { own: 50, part: mostKeys },
  latency: { own: 4, part: 30 },
};
const mostLatencyKeys = limits.latency.part * latencyBuckets;

/** Progress of the worker. `owner`: the run that may move it. `until`: messages that arrived before are counted, ms since 1970. */
interface Progress {
  owner: string;
  position: string | null;
  until: number | null;
}

/** Counts by the device's number, and the keys or models that are limited, of all devices and of each. */
interface Part {
  devices: Map<number, Counts>;
  groups: Set<string>;
  own: Map<number, Set<string>>;
}

interface Bucket {
  kind: Kind;
  width: number;
  begun: number;
  minutes: number;
  parts: Map<number, Part>;
  /** Parts that are to be written. */
  changed: Set<number>;
}

/**
 * Presence and predictions of the fleet over time, in buckets of four widths. A worker of the leader looks at the presence each minute, and follows the
 * stored messages. Its counts and its position are committed together, so that each message is counted once, whatever is interrupted.
 */
export class History {
  private progress: Progress | null = null;
  private buckets = new Map<string, Bucket>();
  private numbers = new Map<string, number>();
  /** When each device was last counted, in days since 1970. */
  private days = new Map<number, number>();
  private newNumbers = new Set<string>();
  private nextNumber = 0;
  private lastMinute: number | null = null;
  private swept = 0;
  private started = 0;

  constructor(private readonly parts: HistoryParts) {}

  worker(): Worker {
    return {
      name: 'history',
      run: async (signal) => {
        this.started = performance.now();
        await this.takeOver();
        try {
          await every(periodMs, signal, () => this.cycle(signal));
        } finally {
          this.progress = null;
        }
      },
    };
  }

  /** Counts new messages, and looks at the presence if a minute has passed. @param settled whether devices have had time to reconnect */
  async cycle(signal: AbortSignal, settled = performance.now() - this.started >= settleMs): Promise<void> {
    if (this.progress === null) await this.takeOver();
    try {
      await this.count(signal);
      if (settled && !signal.aborted) await this.look();
      await this.sweep();
    } catch (error) {
      // Counts in memory may differ from the stored ones.
      this.progress = null;
      throw error;
    }
  }

  /** Reads the progress, and makes this run its owner. */
  private async takeOver(): Promise<void> {
    const { store, now } = this.parts;
    this.buckets.clear();
    this.numbers.clear();
    this.days.clear();
    this.newNumbers.clear();
    this.lastMinute = null;
    const owner = newId('history', now());
    this.progress = await store.transaction().execute(async (transaction) => {
      const first: Progress = { owner, position: null, until: null };
      await transaction
        .insertInto('meta')
        .values({ key: positionKey, value: JSON.stringify(first) })
        .onConflict((conflict) => conflict.doNothing())
        .execute();
      const row = await transaction
        .selectFrom('meta')
        .select('value')
        .where('key', '=', positionKey)
        .executeTakeFirstOrThrow();
      const found = { ...first, ...(parsedJson(row.value) as Partial<Progress> | undefined), owner };
      await transaction
        .updateTable('meta')
        .set({ value: JSON.stringify(found) })
        .where('key', '=', positionKey)
        .execute();
      return found;
    });
    const rows = await store.selectFrom('historyDevices').selectAll().execute();
    this.nextNumber = 0;
    for (const { device, number, day } of rows) {
      this.numbers.set(device, Number(number));
      this.days.set(Number(number), Number(day));
      this.nextNumber = Math.max(this.nextNumber, Number(number) + 1);
    }
  }

  /** Counts the messages after the position. */
  private async count(signal: AbortSignal): Promise<void> {
    const { telemetry, now } = this.parts;
    const begun = now();
    const ended = new AbortController();
    const idle = (isIdle: boolean) => {
      if (isIdle) ended.abort();
    };
    const either = AbortSignal.any([signal, ended.signal]);
    let [position, taken, last] = [this.progress?.position ?? null, 0, 0];
    for await (const batch of telemetry.reader.from(position, either, idle, 'inference')) {
      for (const { entry } of batch) if (entry.channel === 'inference') await this.add(entry);
      position = batch.at(-1)?.position ?? position;
      last = batch.at(-1)?.entry.at ?? last;
      taken += batch.length;
      if (taken >= entriesTogether) {
        await this.commit({ position, until: last });
        taken = 0;
      }
      await nextTurn();
    }
    if (taken > 0) await this.commit({ position, until: ended.signal.aborted ? begun : last });
    else if (this.progress && ended.signal.aborted) this.progress.until = begun;
  }

  private async add(entry: Entry): Promise<void> {
    const { at, device } = entry;
    const inference = inferenceSchema.safeParse(entry.payload);
    if (!inference.success || entry.repeat) return;
    const { model, label, voted, latencyMs } = inference.data;
    const name = `${model.name}@${model.version}`;
    const number = this.numberOf(device);
    await this.note(
      'predictions',
      at,
      number,
      `${name}\t${(voted ?? label ?? '').slice(0, longestClass)}`,
      1,
    );
    await this.note('latency', at, number, `${name}\t${latencyBucket(latencyMs)}`, 1);
  }

  /** Adds to the buckets of each width that are still kept. */
  private async note(kind: Kind, at: number, number: number, key: string, n: number): Promise<void> {
    const now = this.parts.now();
    for (const { ms, keptMs } of bucketWidths) {
      const begun = startOf(at, ms);
      if (begun < now - keptMs) continue;
      const id = idOf(kind, ms, begun);
      const bucket = this.buckets.get(id) ?? (await this.load(kind, ms, begun));
      addIn(bucket, everyDevice, 0, addIn(bucket, partOf(number), number, key, n), n);
    }
  }

  private numberOf(device: string): number {
    const known = this.numbers.get(device);
    if (known === undefined) {
      this.numbers.set(device, this.nextNumber);
      this.newNumbers.add(device);
      return this.nextNumber++;
    }
    const today = Math.floor(this.parts.now() / dayMs);
    if (this.days.get(known) !== today) this.newNumbers.add(device);
    return known;
  }

  /** Looks at the presence of all devices that have ever connected and may do so, once a minute. */
  private async look(): Promise<void> {
    const { devices, now } = this.parts;
    const minute = startOf(now(), minuteMs);
    const observed = await this.load('presence', minuteMs, minute);
    if (observed.minutes > 0) return;
    const { lastMinute } = this;
    const late = lastMinute === null ? 0 : (minute - lastMinute) / minuteMs - 1;
    const minutes =
      late > 0 && late <= mostLateMinutes
        ? Array.from({ length: late + 1 }, (_, i) => minute - i * minuteMs)
        : [minute];
    const seen: [string, string][] = [];
    await devices.visit((device) => {
      if (!mayConnect(device.state) || devices.lastSeenOf(device) === null) return;
      seen.push([device.name, devices.online(device.name) ? 'online' : 'offline']);
    });
    for (const at of minutes) {
      for (const { ms } of bucketWidths) {
        const bucket = await this.load('presence', ms, startOf(at, ms));
        bucket.minutes++;
        bucket.changed.add(everyDevice);
      }
      for (const [i, [name, key]] of seen.entries()) {
        if (i % devicesInTurn === 0) await nextTurn();
        await this.note('presence', at, this.numberOf(name), key, 1);
      }
      await nextTurn();
    }
    await this.commit({ position: this.progress?.position ?? null, until: this.progress?.until ?? null });
    this.lastMinute = minute;
  }

  private async load(kind: Kind, width: number, begun: number): Promise<Bucket> {
    const id = idOf(kind, width, begun);
    const known = this.buckets.get(id);
    if (known) return known;
    const bucket: Bucket = { kind, width, begun, minutes: 0, parts: new Map(), changed: new Set() };
    const rows = await this.parts.store
      .selectFrom('history')
      .select(['part', 'minutes', 'counts'])
      .where('kind', '=', kind)
      .where('width', '=', width)
      .where('begun', '=', begun)
      .execute();
    for (const [i, row] of rows.entries()) {
      if (i % rowsInTurn === 0) await nextTurn();
      const part = Number(row.part);
      if (part === everyDevice) bucket.minutes = Number(row.minutes);
      this.unpack(row.counts, (number, key, n) => void addIn(bucket, part, number, key, n));
    }
    bucket.changed.clear();
    this.buckets.set(id, bucket);
    return bucket;
  }

  /** Damaged counts are left out, so that the others remain available. */
  private unpack(...[counts, visit, wants]: Parameters<typeof unpackCounts>): void {
    try {
      unpackCounts(counts, visit, wants);
    } catch (err) {
      this.parts.log.warn({ err }, 'could not read part of the history');
    }
  }

  /** Writes all changed rows and the progress. @throws if another run has taken over */
  private async commit(next: Omit<Progress, 'owner'>): Promise<void> {
    const { store, now } = this.parts;
    const { progress } = this;
    if (progress === null) return;
    const changed = [...this.buckets.values()].filter((bucket) => bucket.changed.size > 0);
    const rows: Row[] = [];
    for (const { kind, width, begun, minutes, parts, changed: some } of changed)
      for (const part of some) {
        if (rows.length % rowsInTurn === 0) await nextTurn();
        const most = kind === 'latency' ? mostLatencyKeys : mostKeys;
        const counts = packCounts(parts.get(part)?.devices ?? new Map(), most);
        rows.push({ kind, width, begun, part, minutes, counts });
      }
    const day = Math.floor(now() / dayMs);
    const devices = [...this.newNumbers].map((device) => ({
      device,
      number: this.numbers.get(device) ?? 0,
      day,
    }));
    const value = JSON.stringify({ owner: progress.owner, ...next });
    await store.transaction().execute(async (transaction) => {
      const row = await transaction
        .selectFrom('meta')
        .select('value')
        .where('key', '=', positionKey)
        .executeTakeFirst();
      const stored = parsedJson(row?.value ?? '') as Partial<Progress> | undefined;
      if (stored?.owner !== progress.owner) throw new Error('another process counts the history');
      await transaction.updateTable('meta').set({ value }).where('key', '=', positionKey).execute();
      for (let i = 0; i < devices.length; i += rowsTogether) {
        await nextTurn();
        await transaction
          .insertInto('historyDevices')
          .values(devices.slice(i, i + rowsTogether))
          .onConflict((conflict) => conflict.column('device').doUpdateSet({ day }))
          .execute();
      }
      for (let i = 0; i < rows.length; i += rowsInTurn) {
        await nextTurn();
        await transaction
          .insertInto('history')
          .values(rows.slice(i, i + rowsInTurn))
          .onConflict((conflict) =>
            conflict.columns(['kind', 'width', 'begun', 'part']).doUpdateSet((is) => ({
              minutes: is.ref('excluded.minutes'),
              counts: is.ref('excluded.counts'),
            })),
          )
          .execute();
      }
    });
    this.progress = { owner: progress.owner, ...next };
    for (const { number } of devices) this.days.set(number, day);
    this.newNumbers.clear();
    // Only the newest buckets are likely to change again.
    for (const [id, bucket] of this.buckets) {
      if (bucket.changed.size === 0 && bucket.begun + 2 * bucket.width < now()) this.buckets.delete(id);
      bucket.changed.clear();
    }
  }

  /** Deletes buckets that are no longer kept, and numbers of devices that have not been counted since. */
  private async sweep(): Promise<void> {
    const { store, now } = this.parts;
    if (now() - this.swept < hourMs) return;
    this.swept = now();
    for (const { ms, keptMs } of bucketWidths)
      await store
        .deleteFrom('history')
        .where('kind', 'in', kinds)
        .where('width', '=', ms)
        .where('begun', '<', now() - keptMs)
        .execute();
    const before = Math.floor(now() / dayMs) - keptDays - 1;
    await store.deleteFrom('historyDevices').where('day', '<', before).execute();
    for (const [device, number] of this.numbers)
      if ((this.days.get(number) ?? before) < before) this.numbers.delete(device);
  }

  /** @param devices names; undefined = all @throws AIOT_REQUEST_INVALID */
  async presence(
    query: Omit<HistoryQuery, 'selector'>,
    devices?: readonly string[],
  ): Promise<PresenceHistory> {
    const range = bucketRange(query, this.parts.now());
    const minutes = await this.minutesIn(range);
    const found = await this.read('presence', range, devices);
    return {
      ...endsOf(range),
      buckets: startsIn(range).map((at) => {
        const observed = minutes.get(at) ?? 0;
        if (observed === 0) return { at, minutes: 0, online: null, devices: null };
        const [online, offline] = ['online', 'offline'].map((key) => found.get(at)?.get(key) ?? 0);
        return {
          ...{ at, minutes: observed, online: rounded((online ?? 0) / observed) },
          devices: rounded(((online ?? 0) + (offline ?? 0)) / observed),
        };
      }),
    };
  }

  /** @param devices names; undefined = all @throws AIOT_REQUEST_INVALID */
  async predictions(query: PredictionQuery, devices?: readonly string[]): Promise<PredictionHistory> {
    const { range, found, isKnown, ...rest } = await this.predicted('predictions', query, devices);
    const sums: Counts = new Map();
    for (const counts of found.values())
      for (const [key, n] of counts) {
        const label = classOf(key);
        if (label !== '') addTo(sums, label, n);
      }
    const classes = [...sums]
      .sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1))
      .slice(0, mostClasses)
      .map(([label]) => label);
    return {
      ...rest,
      classes,
      buckets: startsIn(range).map((at) => {
        if (!isKnown(at)) return { at, total: null, counts: null };
        const own: Counts = new Map();
        for (const [key, n] of found.get(at) ?? []) addTo(own, classOf(key), n);
        const total = [...own.values()].reduce((sum, n) => sum + n, 0);
        return { at, total, counts: classes.map((label) => own.get(label) ?? 0) };
      }),
    };
  }

  /** @param devices names; undefined = all @throws AIOT_REQUEST_INVALID */
  async latency(query: PredictionQuery, devices?: readonly string[]): Promise<LatencyHistory> {
    const { range, found, isKnown, ...rest } = await this.predicted('latency', query, devices);
    return {
      ...rest,
      buckets: startsIn(range).map((at) => {
        if (!isKnown(at)) return { at, total: null, p50: null, p99: null };
        const own = new Map<number, number>();
        let total = 0;
        for (const [key, n] of found.get(at) ?? []) {
          total += n;
          // The latency of predictions beyond the maximum number of models is unknown.
          if (key === otherKey) continue;
          const bucket = Number(classOf(key));
          own.set(bucket, (own.get(bucket) ?? 0) + n);
        }
        return { at, total, p50: latencyQuantile(own, 0.5), p99: latencyQuantile(own, 0.99) };
      }),
    };
  }

  /** Counts of predictions, and whether a bucket's counts are known: the platform ran, or counted messages in it. */
  private async predicted(kind: Kind, { model, ...query }: PredictionQuery, devices?: readonly string[]) {
    const range = bucketRange(query, this.parts.now());
    const minutes = await this.minutesIn(range);
    const all = await this.read(kind, range, devices);
    const models = new Set<string>();
    const found = new Map<number, Counts>();
    for (const [at, counts] of all) {
      const own: Counts = new Map();
      for (const [key, n] of counts) {
        const name = modelOf(key);
        if (name !== '') models.add(name);
        if (model === undefined || name === model || name.replace(/@\d+$/, '') === model) own.set(key, n);
      }
      found.set(at, own);
    }
    const countedUntil = await this.countedUntil();
    const isKnown = (at: number) =>
      all.has(at) || ((minutes.get(at) ?? 0) > 0 && countedUntil !== null && at < countedUntil);
    return { range, found, isKnown, ...endsOf(range), countedUntil, models: [...models].sort() };
  }

  private async countedUntil(): Promise<number | null> {
    if (this.progress !== null) return this.progress.until;
    const { store } = this.parts;
    const row = await store
      .selectFrom('meta')
      .select('value')
      .where('key', '=', positionKey)
      .executeTakeFirst();
    return (parsedJson(row?.value ?? '') as Partial<Progress> | undefined)?.until ?? null;
  }

  /** Number of minutes in which the fleet was observed, by bucket. */
  private async minutesIn({ width, first, last }: BucketRange): Promise<Map<number, number>> {
    const rows = await this.parts.store
      .selectFrom('history')
      .select(['begun', 'minutes'])
      .where('kind', '=', 'presence')
      .where('width', '=', width.ms)
      .where('begun', '>=', first)
      .where('begun', '<=', last)
      .where('part', '=', everyDevice)
      .execute();
    return new Map(rows.map(({ begun, minutes }) => [Number(begun), Number(minutes)]));
  }

  /** Sums of the devices' counts by bucket. Other requests get a turn after a few buckets. */
  private async read(
    kind: Kind,
    { width, first, last }: BucketRange,
    devices: readonly string[] | undefined,
  ): Promise<Map<number, Counts>> {
    const chosen = devices === undefined ? null : await this.numbersOf(devices);
    const parts = chosen === null ? [everyDevice] : [...new Set([...chosen].map(partOf))];
    const found = new Map<number, Counts>();
    if (parts.length === 0) return found;
    for (let from = first; from <= last; from += bucketsTogether * width.ms) {
      for (let i = 0; i < parts.length; i += rowsTogether) {
        const rows = await this.parts.store
          .selectFrom('history')
          .select(['begun', 'counts'])
          .where('kind', '=', kind)
          .where('width', '=', width.ms)
          .where('begun', '>=', from)
          .where('begun', '<', Math.min(last + 1, from + bucketsTogether * width.ms))
          .where('part', 'in', parts.slice(i, i + rowsTogether))
          .execute();
        for (const row of rows) {
          const begun = Number(row.begun);
          const counts = found.get(begun) ?? new Map<string, number>();
          const add = (_: number, key: string, n: number) => addTo(counts, key, n);
          this.unpack(row.counts, add, chosen === null ? undefined : (number) => chosen.has(number));
          if (counts.size > 0) found.set(begun, counts);
        }
        await nextTurn();
      }
    }
    return found;
  }

  private async numbersOf(devices: readonly string[]): Promise<Set<number>> {
    const numbers = new Set<number>();
    const all = [...devices];
    for (let i = 0; i < all.length; i += rowsTogether) {
      const rows = await this.parts.store
        .selectFrom('historyDevices')
        .select('number')
        .where('device', 'in', all.slice(i, i + rowsTogether))
        .execute();
      for (const { number } of rows) numbers.add(Number(number));
    }
    return numbers;
  }
}

type Row = Pick<Bucket, 'kind' | 'width' | 'begun' | 'minutes'> & { part: number; counts: string };

type PredictionQuery = Omit<HistoryQuery, 'selector'> & { model?: string | undefined };

const idOf = (kind: Kind, width: number, begun: number) => `${kind} ${width} ${begun}`;
const partOf = (number: number) => Math.floor(number / devicesInPart);

/** Adds to a device's counts in a part. @returns the key that was counted: `otherKey` if there are too many others */
function addIn({ kind, parts, changed }: Bucket, id: number, number: number, key: string, n: number): string {
  const part = parts.get(id) ?? { devices: new Map(), groups: new Set(), own: new Map() };
  if (part.devices.size === 0) parts.set(id, part);
  const counts = part.devices.get(number) ?? new Map<string, number>();
  if (counts.size === 0) part.devices.set(number, counts);
  const used = counts.has(key) || mayAdd(kind, part, id, number, key) ? key : otherKey;
  addTo(counts, used, n);
  changed.add(id);
  return used;
}

/** Whether a new key is within the limits of the part and of the device, and counts it if so. */
function mayAdd(kind: Kind, { groups, own }: Part, id: number, number: number, key: string): boolean {
  if (key === otherKey) return true;
  const group = kind === 'latency' ? modelOf(key) : key;
  const of = own.get(number) ?? new Set();
  if (!groups.has(group) && groups.size >= limits[kind].part) return false;
  if (id !== everyDevice && !of.has(group) && of.size >= limits[kind].own) return false;
  groups.add(group);
  if (id !== everyDevice) own.set(number, of.add(group));
  return true;
}

function endsOf({ width, first, last }: BucketRange) {
  return { from: first, to: last + width.ms, bucketMs: width.ms };
}

function startsIn({ width, first, last }: BucketRange): number[] {
  return Array.from({ length: (last - first) / width.ms + 1 }, (_, i) => first + i * width.ms);
}

/** Class or latency bucket in a key; empty for predictions without a class, and for those beyond the maximum number of keys. */
function classOf(key: string): string {
  return key === otherKey ? '' : key.slice(key.indexOf('\t') + 1);
}

function modelOf(key: string): string {
  return key === otherKey ? '' : key.slice(0, key.indexOf('\t'));
}

/** A mean without meaningless digits. */
function rounded(value: number): number {
  return Number(value.toFixed(3));
}
