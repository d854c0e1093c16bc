import { telemetryMembers } from '../../device/index.js';
import type { Entry, Place } from './entry.js';

/** What is known of one recording of one device in one stream. Kept as JSON in the checkpoint. */
export interface Take {
  device: string;
  recording: string;
  rateHz: number;
  samples: number;
  startedAt: number | null;
  duplicates: number;
  /** Sequence numbers that came, as rising, disjoint ranges: [first, last, first, last, …]. */
  ranges: number[];
  /** Where its messages lie: [segment, offset, length, …]; neighbours are joined. */
  places: number[];
  /** False when a message came after one with a higher number. */
  ordered: boolean;
}

export function emptyTake(device: string, recording: string): Take {
  return {
    device,
    recording,
    rateHz: 0,
    samples: 0,
    startedAt: null,
    duplicates: 0,
    ranges: [],
    places: [],
    ordered: true,
  };
}

const fieldName = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** The fields of a message: numbers, and arrays of numbers; members of other kinds are kept, and are no data. */
export function fieldsOf(payload: Record<string, unknown>): [string, number[]][] {
  const fields: [string, number[]][] = [];
  for (const [name, value] of Object.entries(payload)) {
    if (telemetryMembers.has(name) || !fieldName.test(name)) continue;
    if (typeof value === 'number') fields.push([name, [value]]);
    else if (Array.isArray(value) && value.every((v) => typeof v === 'number')) fields.push([name, value]);
  }
  return fields;
}

export function addToTake(take: Take, entry: Entry, place: Place): void {
  if (entry.repeat) {
    take.duplicates++;
    return;
  }
  const { seq, t, rate } = entry.payload;
  take.samples += fieldsOf(entry.payload)[0]?.[1].length ?? 0;
  if (typeof rate === 'number') take.rateHz = rate;
  const start = typeof t === 'number' ? t : entry.at;
  take.startedAt = Math.floor(Math.min(take.startedAt ?? start, start));
  if (typeof seq === 'number') {
    if (seq < (take.ranges.at(-1) ?? -1)) take.ordered = false;
    addNumber(take.ranges, seq);
  }
  addPlace(take.places, place);
}

/** Numbers that never came, between the first and the last that did. */
export function missingIn({ ranges }: Take): number {
  let missing = 0;
  for (let i = 2; i < ranges.length; i += 2) missing += (ranges[i] ?? 0) - (ranges[i - 1] ?? 0) - 1;
  return missing;
}

export function hasNumber(ranges: number[], value: number): boolean {
  const i = rangeAtOrAfter(ranges, value);
  return i < ranges.length && (ranges[i] ?? 0) <= value;
}

export function* placesOf({ places }: Take): Generator<Place> {
  for (let i = 0; i < places.length; i += 3) {
    yield { segment: places[i] ?? 0, offset: places[i + 1] ?? 0, length: places[i + 2] ?? 0 };
  }
}

/** Index of the first range that ends at `value` or later; numbers mostly rise, so the end is looked at first. */
function rangeAtOrAfter(ranges: number[], value: number): number {
  if (value > (ranges.at(-1) ?? -1)) return ranges.length;
  let low = 0;
  let high = ranges.length / 2;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ranges[2 * middle + 1] ?? 0) < value) low = middle + 1;
    else high = middle;
  }
  return 2 * low;
}

function addNumber(ranges: number[], value: number): void {
  const i = rangeAtOrAfter(ranges, value);
  const joinsBefore = i > 0 && ranges[i - 1] === value - 1;
  const joinsAfter = i < ranges.length && ranges[i] === value + 1;
  if (joinsBefore && joinsAfter) ranges.splice(i - 1, 2);
  else if (joinsBefore) ranges[i - 1] = value;
  else if (joinsAfter) ranges[i] = value;
  else ranges.splice(i, 0, value, value);
}

function addPlace(places: number[], { segment, offset, length }: Place): void {
  const [lastSegment, lastOffset = 0, lastLength = 0] = places.slice(-3);
  if (lastSegment === segment && lastOffset + lastLength + 1 === offset) {
    places[places.length - 1] = lastLength + 1 + length;
  } else {
    places.push(segment, offset, length);
  }
}
