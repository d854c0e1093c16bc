import type { AiotError } from '../core/errors.js';
import { hex } from '../core/figures.js';
import { type ByteRegion, firstOverlap, joinRegions } from './esp-image/regions.js';
import { malformed } from './image-errors.js';

/** Number of data bytes per written record. Records of any length can be read. */
const rowBytes = 16;

const colon = 0x3a;
const newline = 0x0a;
const carriageReturn = 0x0d;
const types = { data: 0, end: 1, segment: 2, startSegment: 3, linear: 4, startLinear: 5 } as const;

/** Maximum length of a record, bytes: count, address, type, 255 data bytes, and checksum. */
const longestRecord = 260;

/** Lengths of the fixed-length record types, bytes. */
const fixedLengths: Record<number, number> = { 1: 0, 2: 2, 3: 4, 4: 2, 5: 4 };

/**
 * Parses Intel HEX into regions of bytes, and joins adjacent regions. Source: Intel, "Hexadecimal Object File Format Specification",
 * revision A. Start addresses are ignored, because flashing does not use them.
 * @throws AIOT_IMAGE_MALFORMED with the offset, the line and the reason
 */
export function readIntelHex(bytes: Uint8Array, what = 'HEX file'): ByteRegion[] {
  const runs = new Runs(bytes.length >> 1);
  eachData(bytes, what, (offset, record, count) => runs.add(offset, record, count));
  const found = runs.regions();
  if (firstOverlap(found) !== null) throw overlapping(bytes, what);
  return joinRegions(found);
}

/** Joins consecutive records' bytes in one buffer, because there may be a hundred thousand records. */
class Runs {
  private readonly data: Uint8Array;
  private readonly runs: { offset: number; from: number }[] = [];
  private filled = 0;
  private next = -1;

  constructor(capacity: number) {
    this.data = new Uint8Array(capacity);
  }

  add(offset: number, record: Uint8Array, count: number): void {
    if (offset !== this.next) this.runs.push({ offset, from: this.filled });
    for (let index = 0; index < count; index++) this.data[this.filled + index] = record[4 + index] as number;
    this.filled += count;
    this.next = offset + count;
  }

  regions(): ByteRegion[] {
    return this.runs.map(({ offset, from }, i) => ({
      offset,
      data: this.data.subarray(from, this.runs[i + 1]?.from ?? this.filled),
    }));
  }
}

/** Reads the file again, record by record, to find the two records that overlap. */
function overlapping(bytes: Uint8Array, what: string): AiotError {
  const found: (ByteRegion & { line: number; at: number })[] = [];
  eachData(bytes, what, (offset, record, count, line, at) => {
    found.push({ offset, data: record.slice(4, 4 + count), line, at });
  });
  const [first, second] = firstOverlap(found) ?? [];
  const place = `${hex(second?.offset ?? 0)} was already written by line ${first?.line ?? 0}`;
  return refused(what, second?.at ?? 0, second?.line ?? 0, place);
}

/** Called with each data record in order. `record` is reused for the next record. */
type OnData = (offset: number, record: Uint8Array, count: number, line: number, at: number) => void;

function eachData(bytes: Uint8Array, what: string, onData: OnData): void {
  let base = 0;
  let ended = false;
  const record = new Uint8Array(longestRecord);
  eachLine(bytes, (at, end, line) => {
    decode(bytes, { at, end, line, what }, record);
    if (ended) throw refused(what, at, line, 'unexpected data after the end-of-file record');
    const [count = 0, high = 0, low = 0, type = 0] = [record[0], record[1], record[2], record[3]];
    const address = (high << 8) | low;
    const fixed = fixedLengths[type];
    if (fixed !== undefined && count !== fixed)
      throw refused(what, at, line, `a record of type ${type} has ${fixed} bytes, but this one has ${count}`);
    if (fixed !== undefined && type !== types.end && address !== 0) {
      throw refused(
        what,
        at,
        line,
        `a record of type ${type} has the address 0, but this one has ${hex(address)}`,
      );
    }
    const word = ((record[4] ?? 0) << 8) | (record[5] ?? 0);
    if (type === types.data) {
      const offset = base + address;
      if (offset + count > 0x100000000)
        throw refused(
          what,
          at,
          line,
          `${count} bytes at ${hex(offset)} extend past the 32-bit address space`,
        );
      onData(offset, record, count, line, at);
    } else if (type === types.end) ended = true;
    else if (type === types.segment) base = word * 16;
    else if (type === types.linear) base = word * 0x10000;
    else if (type > types.startLinear) throw refused(what, at, line, `unknown record type ${type}`);
  });
  if (!ended) throw malformed(what, bytes.length, 'the end-of-file record (:00000001FF) is missing');
}

/** Writes records of 16 bytes, in upper case, with `\n`. Addresses above 64 KiB use linear address records, as in esptool and IntelHex. */
export function writeIntelHex(regions: readonly ByteRegion[]): string {
  const joined = joinRegions(regions);
  const last = joined.at(-1);
  const linear = last !== undefined && last.offset + last.data.length > 0x10000;
  const lines: string[] = [];
  let high = -1;
  for (const { offset, data } of joined) {
    for (let at = 0; at < data.length; ) {
      const address = offset + at;
      const upper = Math.floor(address / 0x10000);
      if (linear && upper !== high) {
        high = upper;
        lines.push(recordText(types.linear, 0, Uint8Array.of(upper >> 8, upper & 0xff)));
      }
      const count = Math.min(rowBytes, data.length - at, 0x10000 - (address % 0x10000));
      lines.push(recordText(types.data, address % 0x10000, data.subarray(at, at + count)));
      at += count;
    }
  }
  lines.push(recordText(types.end, 0, new Uint8Array(0)));
  return `${lines.join('\n')}\n`;
}

function recordText(type: number, address: number, data: Uint8Array): string {
  const record = Buffer.alloc(data.length + 5);
  record.set([data.length, address >> 8, address & 0xff, type]);
  record.set(data, 4);
  record[record.length - 1] = -sum(record) & 0xff;
  return `:${record.toString('hex').toUpperCase()}`;
}

/** Calls back for each non-empty line, without its line ending. */
function eachLine(bytes: Uint8Array, onLine: (at: number, end: number, line: number) => void): void {
  let at = 0;
  for (let line = 1; at < bytes.length; line++) {
    const newlineAt = bytes.indexOf(newline, at);
    const next = newlineAt === -1 ? bytes.length : newlineAt + 1;
    let end = newlineAt === -1 ? bytes.length : newlineAt;
    if (end > at && bytes[end - 1] === carriageReturn) end--;
    if (end > at) onLine(at, end, line);
    at = next;
  }
}

interface Row {
  at: number;
  end: number;
  line: number;
  what: string;
}

/** Decodes one line into the start of `record`. */
function decode(bytes: Uint8Array, { at, end, line, what }: Row, record: Uint8Array): void {
  if (bytes[at] !== colon) throw refused(what, at, line, 'a record must start with a colon');
  const count = end - at - 1;
  if (count % 2 !== 0 || count < 10)
    throw refused(
      what,
      at,
      line,
      `a record has at least five pairs of digits, but this one has ${count} digits`,
    );
  const pairs = count / 2;
  let total = 0;
  for (let index = 0; index < pairs; index++) {
    const place = at + 1 + index * 2;
    const value =
      ((digits[bytes[place] as number] as number) << 4) | (digits[bytes[place + 1] as number] as number);
    if (value < 0) throw refused(what, place, line, 'not a hexadecimal digit');
    // Writes past the end of `record` have no effect; such lines are rejected below.
    record[index] = value;
    total += value;
  }
  const said = record[0] as number;
  if (pairs !== said + 5)
    throw refused(what, at, line, `the record states ${said} bytes but contains ${pairs - 5}`);
  if ((total & 0xff) !== 0) throw refused(what, end - 2, line, 'the checksum is wrong');
}

/** Value of each character as a hexadecimal digit. Invalid characters have the value -1, which stays negative when combined with OR. */
const digits = Int8Array.from({ length: 256 }, (_, code) => {
  const value = Number.parseInt(String.fromCharCode(code), 16);
  return Number.isNaN(value) ? -1 : value;
});

/** A separate function, so that the loops above do not create a closure for each of up to a hundred thousand records. */
function refused(what: string, offset: number, line: number, reason: string): AiotError {
  return malformed(what, offset, `line ${line}: ${reason}`);
}

function sum(record: Uint8Array): number {
  let total = 0;
  for (const byte of record) total += byte;
  return total;
}
