import { telemetryMembers } from '../../device/protocol/messages.js';
import type { Entry, TakeKey } from './entry.js';

/** Statistics of one recording of one device in one stream. Times are ms since 1970. */
export interface Take extends TakeKey {
  rateHz: number;
  /** Number of stored messages, of their samples, and of their bytes. */
  messages: number;
  samples: number;
  bytes: number;
  /** Times of the first and the newest message, by the device's clock if the message has a time. */
  startedAt: number | null;
  endedAt: number | null;
  /** Arrival of the first and the last message, by the platform's clock. */
  firstAt: number | null;
  lastAt: number | null;
  /** Number of duplicate messages, which were dropped. */
  duplicates: number;
  /**
   * Number of messages that arrived after a message with a higher number (or a later time, if they have no numbers).
   */
  outOfOrder: number;
  /** Number of messages that arrived more than `lateMs` after their time. */
  late: number;
  /** Number of messages with a time more than `futureMs` ahead of the platform's clock. */
  future: number;
  /** Number of numbered messages, and their lowest, highest and newest number. */
  numbered: number;
  minSeq: number | null;
  maxSeq: number | null;
  lastSeq: number | null;
  /** Number of skipped message numbers. `missingIn` uses it for recordings whose numbering restarts with each start of the device. */
  gaps: number;
}

/** Delay after which a message counts as late, ms. */
const lateMs = 60_000;
/** How far ahead a device's clock must be to count as wrong, ms. */
const futureMs = 60_000;

const dayMs = 86_400_000;

export function emptyTake({ channel, stream, device, recording }: TakeKey): Take {
  return {
    ...{ channel, stream, device, recording },
    ...{ rateHz: 0, messages: 0, samples: 0, bytes: 0 },
    ...{ startedAt: null, endedAt: null, firstAt: null, lastAt: null },
    ...{ duplicates: 0, outOfOrder: 0, late: 0, future: 0 },
    ...{ numbered: 0, minSeq: null, maxSeq: null, lastSeq: null, gaps: 0 },
  };
}

const fieldName = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Caches a message's fields and key, because several steps need them before the message is stored. */
const knownFields = new WeakMap<object, [string, number[]][]>();
const knownKeys = new WeakMap<object, TakeKey>();

/** A message's fields: numbers, and arrays of numbers. Members of other types are stored, but do not count as data. */
export function fieldsOf(payload: Record<string, unknown>): [string, number[]][] {
  const known = knownFields.get(payload);
  if (known) return known;
  const fields = foundFields(payload);
  knownFields.set(payload, fields);
  return fields;
}

function foundFields(payload: Record<string, unknown>): [string, number[]][] {
  const fields: [string, number[]][] = [];
  for (const name in payload) {
    if (telemetryMembers.has(name) || !fieldName.test(name)) continue;
    const value = payload[name];
    if (typeof value === 'number') fields.push([name, [value]]);
    else if (Array.isArray(value) && value.every((v) => typeof v === 'number')) fields.push([name, value]);
  }
  return fields;
}

/**
 * The message's recording. Messages without a recording name form one recording for each day (UTC), by their own time.
 * If that time is more than a day ahead, the arrival time is used instead, because that day has not begun. Log lines always use the arrival
 * time.
 */
export function takeKeyOf(entry: Entry): TakeKey {
  const known = knownKeys.get(entry);
  if (known) return known;
  const key = foundKey(entry);
  knownKeys.set(entry, key);
  return key;
}

function foundKey(entry: Entry): TakeKey {
  const { channel, stream = '', device, payload, at } = entry;
  if (channel === 'telemetry' && typeof payload.recording === 'string') {
    return { channel, stream, device, recording: payload.recording };
  }
  // A device without a clock logs in 1970; by arrival, its lines expire like those of other devices.
  return { channel, stream, device, recording: dayOf(channel === 'log' ? at : toldTime(entry)) };
}

function toldTime({ payload: { t }, at }: Entry): number {
  return typeof t === 'number' && Math.abs(t) < 8.64e15 && t < at + dayMs ? t : at;
}

/**
 * All recordings that may contain the message, the usual one first. Earlier versions stored log lines by the device's time, and their rows
 * keep that day.
 */
export function takeKeysOf(entry: Entry): TakeKey[] {
  const key = takeKeyOf(entry);
  if (entry.channel !== 'log') return [key];
  const before = { ...key, recording: dayOf(toldTime(entry)) };
  return before.recording === key.recording ? [key] : [key, before];
}

let newestDay = { from: 0, name: 'day-1970-01-01' };

/** Name of a day. The last one is cached, because most messages fall on the same day. */
function dayOf(t: number): string {
  if (t < newestDay.from || t >= newestDay.from + dayMs) {
    const from = Math.floor(t / dayMs) * dayMs;
    newestDay = { from, name: `day-${new Date(from).toISOString().slice(0, 10)}` };
  }
  return newestDay.name;
}

/**
 * Whether numbers alone identify the messages in this recording, because a device starts a new recording after a
 * restart.
 */
export function isNamed({ channel, recording }: TakeKey): boolean {
  return (
    channel === 'telemetry' && !(recording.startsWith('day-') && /^day-\d{4,6}-\d\d-\d\d$/.test(recording))
  );
}

/** Identifies a message within its recording: its number, or number and time; null = not identifiable. */
export function messageKey({ payload }: Entry, named: boolean): string | null {
  const { seq, t } = payload;
  if (typeof seq !== 'number') return null;
  if (named) return String(seq);
  return typeof t === 'number' ? `${seq}:${t}` : null;
}

/** The parts of a stored message that its recording counts. Times are ms since 1970. */
export interface Facts {
  /** Arrival. */
  at: number;
  /** By the device's clock. */
  t: number | null;
  seq: number | null;
  rate: number | null;
  samples: number;
  bytes: number;
}

/** @param bytes size on disk */
export function factsOf({ at, channel, payload }: Entry, bytes: number): Facts {
  const { seq, t, rate } = payload;
  const number = (value: unknown) => (typeof value === 'number' ? value : null);
  const samples = channel === 'telemetry' ? samplesOf(payload) : 0;
  return { at, t: number(t), seq: number(seq), rate: number(rate), samples, bytes };
}

/** Adds one stored message. @param bytes its size on disk */
export function countEntry(take: Take, entry: Entry, bytes: number): void {
  if (entry.repeat) take.duplicates++;
  else countFacts(take, factsOf(entry, bytes));
}

/** Adds one stored message. */
export function countFacts(take: Take, { at, t, seq, rate, samples, bytes }: Facts): void {
  const time = t ?? at;
  take.messages++;
  take.bytes += bytes;
  take.samples += samples;
  if (rate !== null) take.rateHz = rate;
  if (time < at - lateMs) take.late++;
  if (time > at + futureMs) take.future++;
  if (seq !== null) countNumber(take, seq, time);
  else if (take.endedAt !== null && time < take.endedAt) take.outOfOrder++;
  take.startedAt = Math.min(take.startedAt ?? time, time);
  take.endedAt = Math.max(take.endedAt ?? time, time);
  take.firstAt ??= at;
  take.lastAt = Math.max(take.lastAt ?? at, at);
}

function countNumber(take: Take, seq: number, time: number): void {
  const { lastSeq, maxSeq, endedAt } = take;
  const named = isNamed(take);
  // Without a recording name, a smaller number with a later time means that the device restarted.
  const anew = !named && lastSeq !== null && seq <= lastSeq && time >= (endedAt ?? time);
  if (maxSeq !== null && !anew) {
    const newest = named ? maxSeq : (lastSeq ?? seq);
    if (seq < newest) {
      take.outOfOrder++;
      take.gaps = Math.max(0, take.gaps - 1);
    } else take.gaps += seq - newest - 1;
  }
  take.numbered++;
  take.minSeq = Math.min(take.minSeq ?? seq, seq);
  take.maxSeq = Math.max(maxSeq ?? seq, seq);
  if (anew || seq > (lastSeq ?? -1)) take.lastSeq = seq;
}

function samplesOf(payload: Record<string, unknown>): number {
  return fieldsOf(payload)[0]?.[1].length ?? 0;
}

/**
 * Number of messages that never arrived: in a named recording, numbers missing between the lowest and the highest;
 * otherwise, numbers skipped since the device's last start.
 */
export function missingIn(take: Take): number {
  if (take.minSeq === null || take.maxSeq === null) return 0;
  if (!isNamed(take)) return take.gaps;
  return take.maxSeq - take.minSeq + 1 - take.numbered;
}
