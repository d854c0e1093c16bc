import { type FileHandle, open, rename } from 'node:fs/promises';
import type { OutgoingMessage } from '../message.js';
import { decodeRecord } from './record.js';
import { magic, type Segment, setAside } from './segments.js';

/** Bytes read at once. */
const readBytes = 1024 * 1024;

/** Records of one file, from a place in it. */
export interface Read {
  messages: OutgoingMessage[];
  /** Where the next one begins. */
  offset: number;
  /** What follows cannot be read: it was set aside as FILE.damaged. */
  damaged: boolean;
}

/**
 * Up to `limit` whole records, and about `byteLimit` bytes of payload, at least one where there is one.
 * @param end of what is on disk safely
 */
export async function readRecords(
  segment: Segment,
  from: number,
  end: number,
  limit: number,
  byteLimit: number,
): Promise<Read> {
  const file = await open(segment.file, 'r');
  try {
    let offset = Math.max(from, magic.length);
    const messages: OutgoingMessage[] = [];
    let bytes = await slice(file, offset, Math.min(end, offset + readBytes));
    let at = 0;
    let payload = 0;
    while (messages.length < limit && payload < byteLimit) {
      const read = decodeRecord(bytes, at);
      if (read.kind === 'record') {
        messages.push(read.message);
        payload += read.message.payload.length;
        at += read.bytes;
        offset += read.bytes;
        continue;
      }
      const more = read.kind === 'short' && offset < end;
      if (more && offset + read.needed <= end) {
        bytes = await slice(file, offset, Math.min(end, offset + Math.max(read.needed, readBytes)));
        at = 0;
        // Fewer than there should be: the file ends before its time, and asking again would give no more.
        if (bytes.length >= read.needed) continue;
      }
      if (offset >= end || messages.length > 0) break;
      // A full disk has no room for a second file, but for another name.
      await setAside(segment.file, await slice(file, offset, end)).catch(() =>
        rename(segment.file, `${segment.file}.damaged`),
      );
      return { messages, offset: end, damaged: true };
    }
    return { messages, offset, damaged: false };
  } finally {
    await file.close();
  }
}

async function slice(file: FileHandle, from: number, to: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(Math.max(0, to - from));
  const { bytesRead } = await file.read(bytes, 0, bytes.length, from);
  return bytes.subarray(0, bytesRead);
}
