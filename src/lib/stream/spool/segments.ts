import { open, readdir, readFile, rename, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import * as z from 'zod';
import { systemCode } from '../../core/errors.js';
import { syncFolder } from '../../core/files.js';
import { parsedJson } from '../../core/text.js';
import type { Header, OutgoingMessage } from '../message.js';

/** First bytes of each file in a spool. */
export const magic = Buffer.from('AIOTSPL1');

/** One file in a spool. */
export interface Segment {
  id: number;
  file: string;
  /** Number of messages in the file. */
  count: number;
  /** Size of the file, bytes. */
  bytes: number;
}

/**
 * Name of a file: `000000000001.spool` while it is being written, and `000000000001-250.spool`, with its number of messages, once it is
 * complete.
 */
export function segmentName(id: number, count?: number): string {
  return `${String(id).padStart(12, '0')}${count === undefined ? '' : `-${count}`}.spool`;
}

/**
 * Finds the files in a spool's folder, oldest first. A file that was being written during a crash is verified, truncated after its last
 * complete record (the rest was never acknowledged), and closed.
 */
export async function findSegments(folder: string): Promise<{ segments: Segment[]; damaged: number }> {
  const segments: Segment[] = [];
  let damaged = 0;
  for (const name of (await readdir(folder)).sort()) {
    const [, id, count] = /^(\d{12})(?:-(\d+))?\.spool$/.exec(name) ?? [];
    if (id === undefined) continue;
    const file = join(folder, name);
    if (count !== undefined) {
      segments.push({ id: Number(id), file, count: Number(count), bytes: (await stat(file)).size });
      continue;
    }
    const recovered = await recover(folder, file, Number(id));
    damaged += recovered.damaged;
    if (recovered.segment) segments.push(recovered.segment);
  }
  return { segments, damaged };
}

async function recover(
  folder: string,
  file: string,
  id: number,
): Promise<{ segment?: Segment; damaged: number }> {
  const bytes = await readFile(file);
  let offset = magic.length;
  let count = 0;
  let damaged = 0;
  for (;;) {
    const read = decodeRecord(bytes, offset);
    if (read.kind === 'record') {
      offset += read.bytes;
      count++;
      continue;
    }
    // A complete record follows, so this record is damaged rather than the incomplete end of a write. Its bytes are kept for
    // examination.
    if (read.kind === 'damaged' && decodeRecord(bytes, offset + read.bytes).kind === 'record') {
      damaged = 1;
      await setAside(file, bytes.subarray(offset));
    }
    break;
  }
  if (count === 0) {
    await rm(file, { force: true });
    return { damaged };
  }
  await truncate(file, offset);
  return { segment: await closeSegment(folder, { id, file, count, bytes: offset }), damaged };
}

/** Renames a complete file to include its number of messages. */
export async function closeSegment(folder: string, segment: Segment): Promise<Segment> {
  const file = join(folder, segmentName(segment.id, segment.count));
  await rename(segment.file, file);
  await syncFolder(folder);
  return { ...segment, file };
}

/** Writes unreadable data to FILE.damaged. */
export async function setAside(file: string, bytes: Uint8Array): Promise<void> {
  const handle = await open(`${file}.damaged`, 'w', 0o600);
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The reader's position: all messages before it have been delivered. */
interface Cursor {
  segment: number;
  offset: number;
  /** Number of delivered messages in this segment. */
  read: number;
}

export const cursorFile = (folder: string) => join(folder, 'cursor.json');

/** Reads the cursor. If it is missing or unreadable, reading starts at the beginning, so that messages are resent rather than lost. */
export async function readCursor(folder: string): Promise<Cursor> {
  try {
    const { segment, offset, read } = JSON.parse(await readFile(cursorFile(folder), 'utf8')) as Cursor;
    if ([segment, offset, read].every(Number.isSafeInteger)) return { segment, offset, read };
  } catch (error) {
    if (!(error instanceof SyntaxError) && systemCode(error) !== 'ENOENT') throw error;
  }
  return { segment: 0, offset: 0, read: 0 };
}

/**
 * A record is one message: the length of the body (u32, little-endian), the CRC-32 of the body (u32), and the body. The body consists
 * of the length of a JSON text (u32), that text (UTF-8; everything except the payload), and the payload.
 */
const headBytes = 8;

/** Everything but the payload. The names are short because there are many messages. */
const metaSchema = z.object({
  t: z.string(),
  m: z.number().optional(),
  /** The message's key, base64. */
  k: z.string().optional(),
  /** Headers. A value of bytes is stored as an array with one base64 string. */
  h: z.array(z.tuple([z.string(), z.union([z.string(), z.tuple([z.string()])])])).optional(),
  q: z.union([z.literal(0), z.literal(1), z.literal(2)]).optional(),
  r: z.boolean().optional(),
  x: z.literal(true).optional(),
  /** Time when the message expires, ms since 1970. */
  e: z.number().optional(),
});

type Meta = z.output<typeof metaSchema>;

export function encodeRecord(message: OutgoingMessage): Buffer {
  const { topic, payload, time, key, headers, qos, retain, tombstone, expires } = message;
  const meta: Meta = {
    t: topic,
    ...(time === undefined ? {} : { m: time }),
    ...(key === undefined ? {} : { k: base64(key) }),
    ...(headers === undefined ? {} : { h: headers.map(([name, value]) => [name, shown(value)]) }),
    ...(qos === undefined ? {} : { q: qos }),
    ...(retain === undefined ? {} : { r: retain }),
    ...(tombstone === undefined ? {} : { x: tombstone }),
    ...(expires === undefined ? {} : { e: expires }),
  };
  const text = Buffer.from(JSON.stringify(meta));
  const body = Buffer.allocUnsafe(4 + text.length + payload.length);
  body.writeUInt32LE(text.length, 0);
  body.set(text, 4);
  body.set(payload, 4 + text.length);
  const head = Buffer.allocUnsafe(headBytes);
  head.writeUInt32LE(body.length, 0);
  head.writeUInt32LE(crc32(body), 4);
  return Buffer.concat([head, body]);
}

type ReadRecord =
  | { kind: 'record'; message: OutgoingMessage; bytes: number }
  /**
   * The data ends within the record. `needed` is the total length of the record, or of its header if the header is
   * incomplete.
   */
  | { kind: 'short'; needed: number }
  /** The checksum does not match, or the data is not a record. `bytes` is the length given in its header. */
  | { kind: 'damaged'; bytes: number };

/** Decodes the record that begins at `offset`. */
export function decodeRecord(bytes: Buffer, offset: number): ReadRecord {
  if (bytes.length - offset < headBytes) return { kind: 'short', needed: headBytes };
  const length = bytes.readUInt32LE(offset);
  const whole = headBytes + length;
  if (bytes.length - offset < whole) return { kind: 'short', needed: whole };
  const body = bytes.subarray(offset + headBytes, offset + whole);
  if (length < 4 || crc32(body) !== bytes.readUInt32LE(offset + 4)) return { kind: 'damaged', bytes: whole };
  const textEnd = 4 + body.readUInt32LE(0);
  const meta = metaOf(body.toString('utf8', 4, textEnd));
  if (meta === null) return { kind: 'damaged', bytes: whole };
  return { kind: 'record', message: messageOf(meta, Buffer.from(body.subarray(textEnd))), bytes: whole };
}

/** Parses the metadata; null if the text is not metadata, which is possible even with a valid checksum. */
function metaOf(text: string): Meta | null {
  return metaSchema.safeParse(parsedJson(text)).data ?? null;
}

function messageOf({ t, m, k, h, q, r, x, e }: Meta, payload: Buffer): OutgoingMessage {
  return {
    topic: t,
    payload,
    ...(m === undefined ? {} : { time: m }),
    ...(k === undefined ? {} : { key: Buffer.from(k, 'base64') }),
    ...(h === undefined ? {} : { headers: h.map(([name, value]): Header => [name, read(value)]) }),
    ...(q === undefined ? {} : { qos: q }),
    ...(r === undefined ? {} : { retain: r }),
    ...(x === undefined ? {} : { tombstone: x }),
    ...(e === undefined ? {} : { expires: e }),
  };
}

const base64 = (bytes: Uint8Array) =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64');

const shown = (value: string | Uint8Array): string | [string] =>
  typeof value === 'string' ? value : [base64(value)];

const read = (value: string | [string]): string | Uint8Array =>
  typeof value === 'string' ? value : Buffer.from(value[0], 'base64');
