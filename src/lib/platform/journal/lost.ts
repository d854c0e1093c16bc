import type { Finding } from '../verify/damage.js';
import type { Entry, TakeKey } from './entry.js';
import { fieldsOf, type Take } from './takes.js';

/** One device's messages in one stream: number of messages, number of rows, and times (ms since 1970). */
export interface Tally {
  stream: string | null;
  device: string | null;
  messages: number;
  rows: number;
  from: number;
  to: number;
}

/** Maximum number of devices and streams counted separately; beyond this, only streams are counted. */
const mostApart = 500;

/** Messages by device and stream. */
export class Tallies {
  private readonly byKey = new Map<string, Tally>();

  constructor(tallies: readonly Tally[] = []) {
    for (const tally of tallies) this.add(tally);
  }

  add({ stream, device, messages, rows, from, to }: Tally): void {
    let key = `${stream ?? ''}/${device ?? ''}`;
    let whose = device;
    if (this.byKey.size >= mostApart && !this.byKey.has(key)) {
      key = `${stream ?? ''}/`;
      whose = null;
    }
    const known = this.byKey.get(key);
    if (!known) {
      this.byKey.set(key, { stream, device: whose, messages, rows, from, to });
      return;
    }
    known.messages += messages;
    known.rows += rows;
    known.from = Math.min(known.from, from);
    known.to = Math.max(known.to, to);
  }

  addEntry(entry: Entry): void {
    this.add(tallyOf(entry));
  }

  /** Subtracts removed messages; the times remain. */
  subtract({ stream, device, messages, rows }: Tally): void {
    const known = this.byKey.get(`${stream ?? ''}/${device ?? ''}`) ?? this.byKey.get(`${stream ?? ''}/`);
    if (!known) return;
    known.messages = Math.max(0, known.messages - messages);
    known.rows = Math.max(0, known.rows - rows);
  }

  all(): Tally[] {
    return [...this.byKey.values()].map((tally) => ({ ...tally }));
  }

  get rows(): number {
    return this.all().reduce((sum, { rows }) => sum + rows, 0);
  }

  get messages(): number {
    return this.all().reduce((sum, { messages }) => sum + messages, 0);
  }
}

/** Number of rows that an export contains for a message; a message on any other channel counts as one row. */
export function rowsOf({ channel, payload }: Pick<Entry, 'channel' | 'payload'>): number {
  return channel === 'telemetry' ? (fieldsOf(payload)[0]?.[1].length ?? 0) : 1;
}

function tallyOf(entry: Entry): Tally {
  const { t } = entry.payload;
  const time = typeof t === 'number' ? t : entry.at;
  const { device, stream = null } = entry;
  return { stream, device, messages: 1, rows: rowsOf(entry), from: time, to: time };
}

/** Counts of everything stored for a recording. */
export function tallyOfTake({ channel, stream, device, messages, samples, startedAt, endedAt }: Take): Tally {
  const telemetry = channel === 'telemetry';
  return {
    ...{ stream: telemetry ? stream : null, device, messages, rows: telemetry ? samples : messages },
    ...{ from: startedAt ?? 0, to: endedAt ?? 0 },
  };
}

/** Returns the messages in `before` that are missing in `after`, by stream and device. */
export function lessBy(before: readonly Tally[], after: readonly Tally[]): Tally[] {
  const left = new Map(after.map((tally) => [`${tally.stream}/${tally.device}`, tally]));
  const less: Tally[] = [];
  for (const tally of before) {
    const still = left.get(`${tally.stream}/${tally.device}`);
    const messages = tally.messages - (still?.messages ?? 0);
    if (messages <= 0) continue;
    // Logs are in time order, so entries missing at the end are later than the remaining ones.
    const from = still === undefined ? tally.from : Math.min(still.to, tally.to);
    less.push({ ...tally, messages, rows: Math.max(0, tally.rows - (still?.rows ?? 0)), from });
  }
  return less;
}

/**
 * Recovers the identity of a damaged line from its intact members. The text comes from a device, so only valid names
 * are accepted. Lines joined by a damaged newline are counted separately.
 */
export function salvaged({ bytes }: { bytes: Buffer }): Tally[] {
  const text = bytes.toString('utf8');
  const heads = [
    ...text.matchAll(
      /"device":"([A-Za-z0-9][\w.-]{0,62})","channel":"(\w+)"(?:,"stream":"([A-Za-z0-9][\w.-]{0,62})")?/g,
    ),
  ];
  if (heads.length === 0) return [];
  return heads.map((head, i) => {
    const rest = text.slice(head.index, heads[i + 1]?.index ?? text.length);
    const time = Number(/"t":(-?\d+(?:\.\d+)?)/.exec(rest)?.[1] ?? Number.NaN);
    const values = /:\[([^\]]*)\]/.exec(rest)?.[1];
    const rows = head[2] !== 'telemetry' || values === undefined ? 1 : values.split(',').length;
    const [from, to] = Number.isNaN(time) ? [Infinity, -Infinity] : [time, time];
    return { stream: head[3] ?? null, device: head[1] ?? null, messages: 1, rows, from, to };
  });
}

/** Name of the database in the data folder, and in findings. */
export const telemetryFile = 'telemetry.db';

export const brokenLines = 'contains damaged lines';
export const brokenRows = 'contains damaged rows';
export const missingRows = 'is missing stored rows';

/**
 * Findings for losses: one for each stream and device, and at least one in total.
 * @param place the file in the data folder
 */
export function findingsOf(
  place: string,
  problem: string,
  tallies: readonly Tally[],
  part: Finding['part'] = 'journal',
): Finding[] {
  if (tallies.length === 0) return [{ part, place, problem, repairable: true }];
  return tallies.map((tally) => ({ part, place, problem, repairable: true, lost: lostOf(tally) }));
}

export function lostOf({ stream, device, from, to, rows }: Tally): NonNullable<Finding['lost']> {
  const time = (t: number) => (Math.abs(t) <= 8.64e15 ? new Date(t).toISOString() : undefined);
  const [begin, end] = [time(from), time(to)];
  return {
    ...(stream === null ? {} : { stream }),
    ...(device === null ? {} : { device }),
    ...(begin === undefined ? {} : { from: begin }),
    ...(end === undefined ? {} : { to: end }),
    rows,
  };
}

/** A message that could not be read from a recording. */
export interface LostMessage {
  key: TakeKey;
  t: number;
  rows: number;
}
