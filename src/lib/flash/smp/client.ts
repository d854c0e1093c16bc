import { createHash } from 'node:crypto';
import * as z from 'zod';
import type { ErrorCode } from '../../core/catalogue.js';
import { AiotError } from '../../core/errors.js';
import { decodeSmp, encodeSmp, type SmpPacket, smpCommands, smpGroups, smpOps } from './packet.js';
import type { SmpPort } from './port.js';

const { os, image, statistics, shell } = smpCommands;

/** Names of return codes that are common to all groups. */
const commonCodes = [
  'ok',
  'unknown error',
  'out of memory',
  'invalid value',
  'timeout',
  'no such entry',
  'not possible in this state',
  'response too large',
  'not supported',
  'corrupt',
  'busy',
  'access denied',
  'protocol version too old',
  'protocol version too new',
];

/** Names of the image group's return codes. Source: Zephyr, "Application/software image management group". */
const imageCodes = [
  'ok',
  'unknown error',
  'the flash layout cannot be read',
  'the slot contains no image',
  'the image has no records (TLVs)',
  'the image has an invalid record',
  'the image has several hashes',
  'a record of the image has the wrong size',
  'no slot contains an image with this hash',
  'no slot is free: an image is pending or not yet confirmed',
  'the flash cannot be opened',
  'the flash cannot be read',
  'the flash cannot be written',
  'the flash cannot be erased',
  'there is no such slot',
  'out of memory',
  'the flash is already in use',
  'the flash is not open',
  'the flash device is missing',
  'the page offset is invalid',
  'the offset is missing',
  'the length is missing',
  'the image is shorter than its header',
  'the file is not an MCUboot image',
  'the hash is invalid',
  'the image is linked for another flash address',
  'the version of the running image cannot be read',
  'the running image is newer',
  'an image is already pending',
  'the vector table of the image is invalid',
  'the image is too large for the slot',
  'more data arrived than the image has',
  'the board does not allow the confirmation',
  'the running image cannot be tested again',
];

/** The error for each return code. Codes that are not listed here are failures of the board. */
const commonErrors: Readonly<Record<number, ErrorCode>> = {
  3: 'AIOT_SMP_REJECTED',
  4: 'AIOT_SMP_SILENT',
  5: 'AIOT_SMP_NOT_FOUND',
  6: 'AIOT_SMP_STATE',
  8: 'AIOT_SMP_UNSUPPORTED',
  10: 'AIOT_SMP_STATE',
  11: 'AIOT_SMP_DENIED',
  12: 'AIOT_SMP_UNSUPPORTED',
  13: 'AIOT_SMP_UNSUPPORTED',
};

const imageErrors: Readonly<Record<number, ErrorCode>> = {
  ...Object.fromEntries(
    [4, 5, 6, 7, 20, 21, 22, 23, 24, 25, 27, 29, 31].map((code) => [code, 'AIOT_SMP_REJECTED']),
  ),
  3: 'AIOT_SMP_NOT_FOUND',
  8: 'AIOT_SMP_NOT_FOUND',
  9: 'AIOT_SMP_STATE',
  14: 'AIOT_SMP_NOT_FOUND',
  16: 'AIOT_SMP_STATE',
  28: 'AIOT_SMP_STATE',
  30: 'AIOT_IMAGE_TOO_LARGE',
  32: 'AIOT_SMP_DENIED',
  33: 'AIOT_SMP_DENIED',
};

/** The error for a response, or null if it reports success. In version 2, the response includes the group of the code. */
export function smpError(response: SmpPacket, what: string, address: string): AiotError | null {
  const { err, rc } = response.body as { err?: { group?: unknown; rc?: unknown }; rc?: unknown };
  const [group, code] = err === undefined ? [null, rc] : [err.group, err.rc];
  if (code === undefined || code === 0) return null;
  const number = typeof code === 'number' ? code : 1;
  const ofImage = group === smpGroups.image;
  const known = ofImage
    ? imageCodes[number]
    : group === null || group === smpGroups.os
      ? commonCodes[number]
      : undefined;
  const errors = ofImage ? imageErrors : group === null ? commonErrors : {};
  const reason = known ?? `error ${number}${typeof group === 'number' ? ` of group ${group}` : ''}`;
  return new AiotError(errors[number] ?? 'AIOT_SMP_FAILED', `${address}: ${what}: ${reason}`, {
    endpoint: address,
    retryable: number === 10 && group === null,
  });
}

export const boardImageSchema = z.object({
  image: z.int().describe('Number of the image; 0 for boards with one.'),
  slot: z.int(),
  version: z.string(),
  hash: z.string().nullable().describe('Hash in the records of the image, hex digits.'),
  bootable: z.boolean(),
  pending: z.boolean().describe('Starts at the next reset.'),
  confirmed: z.boolean().describe('Stays after further resets.'),
  active: z.boolean().describe('Running now.'),
  permanent: z.boolean().describe('Pending, and needs no confirmation.'),
});

export type BoardImage = z.output<typeof boardImageSchema>;

export interface SmpClientOptions {
  /** Maximum time for one response, ms. */
  timeoutMs?: number;
  /** Number of times that a request is sent before the board counts as silent. */
  attempts?: number;
  signal?: AbortSignal;
}

export interface UploadResult {
  bytes: number;
  /** Offset at which an interrupted upload was resumed; 0 = from the beginning. */
  resumedAt: number;
  /** Largest number of image bytes in one packet. */
  chunkBytes: number;
  /** Number of packets that were in flight at a time. */
  window: number;
}

/** Size of a packet for boards that do not report their buffers, bytes. */
const cautiousBytes = 256;

/** Maximum number of times that a board may request an earlier offset during an upload. */
const mostRewinds = 10;

/**
 * A client of a board's SMP server. Requests are sent one after the other, except the chunks of an upload, and repeated if no response
 * arrives.
 */
export class SmpClient {
  private sequence = 0;
  /** Requests without a response, by sequence number. */
  private readonly waiting = new Map<
    number,
    { group: number; id: number; done: (packet: SmpPacket) => void }
  >();
  private buffers: { bufferBytes: number; buffers: number } | null = null;
  private readonly timeoutMs: number;
  private readonly attempts: number;

  constructor(
    private readonly port: SmpPort,
    private readonly options: SmpClientOptions = {},
  ) {
    this.timeoutMs = options.timeoutMs ?? 2500;
    this.attempts = options.attempts ?? 4;
    port.onPacket((bytes) => this.take(bytes));
  }

  get address(): string {
    return this.port.address;
  }

  close(): Promise<void> {
    return this.port.close();
  }

  private take(bytes: Uint8Array): void {
    let packet: SmpPacket;
    try {
      packet = decodeSmp(bytes);
    } catch {
      // A corrupted response is treated like a lost one, so the request is repeated.
      return;
    }
    const waiting = this.waiting.get(packet.sequence);
    if (waiting?.group === packet.group && waiting.id === packet.id) waiting.done(packet);
  }

  /**
   * Sends a request and waits for its response.
   * @throws AIOT_SMP_… for an error that the board reports, AIOT_SMP_SILENT
   */
  async request(
    op: 'read' | 'write',
    [group, id]: readonly [number, number],
    body: Record<string, unknown>,
    what: string,
    attempts = this.attempts,
    timeoutMs = this.timeoutMs,
  ): Promise<Record<string, unknown>> {
    this.sequence = (this.sequence + 1) & 0xff;
    const { sequence } = this;
    const bytes = encodeSmp({ op: smpOps[op], version: 1, group, id, sequence, body });
    for (let attempt = 0; attempt < attempts; attempt++) {
      this.options.signal?.throwIfAborted();
      const response = await this.exchange(bytes, { sequence, group, id }, timeoutMs);
      if (response === null) continue;
      const error = smpError(response, what, this.address);
      if (error !== null) throw error;
      return response.body;
    }
    throw new AiotError('AIOT_SMP_SILENT', `${this.address}: ${what}: no response`, {
      endpoint: this.address,
      retryable: true,
    });
  }

  private exchange(
    bytes: Uint8Array,
    wanted: { sequence: number; group: number; id: number },
    timeoutMs: number,
  ): Promise<SmpPacket | null> {
    return new Promise((resolve, reject) => {
      const finish = (packet: SmpPacket | null) => {
        clearTimeout(timer);
        this.waiting.delete(wanted.sequence);
        resolve(packet);
      };
      const timer = setTimeout(() => finish(null), timeoutMs);
      this.waiting.set(wanted.sequence, { ...wanted, done: finish });
      this.port.send(bytes).catch((error: unknown) => {
        clearTimeout(timer);
        this.waiting.delete(wanted.sequence);
        reject(error);
      });
    });
  }

  /** Returns the text that the board sent back. */
  async echo(text: string): Promise<string> {
    const body = await this.request('write', [smpGroups.os, os.echo], { d: text }, 'echo');
    return String(body.r ?? '');
  }

  /** Whether one echo is answered within this time, ms. */
  answers(withinMs: number): Promise<boolean> {
    const timeoutMs = Math.min(withinMs, this.timeoutMs);
    return answered(this.request('write', [smpGroups.os, os.echo], { d: 'aiot' }, 'echo', 1, timeoutMs));
  }

  /** Resets the board. Returns whether it answered. The response may be lost, because the board resets. */
  reset(): Promise<boolean> {
    this.buffers = null;
    return answered(this.request('write', [smpGroups.os, os.reset], {}, 'reset', 1));
  }

  /** The size of the board's buffers; null if it does not report them. */
  async parameters(): Promise<{ bufferBytes: number; buffers: number } | null> {
    try {
      const body = await this.request('read', [smpGroups.os, os.parameters], {}, 'read the parameters');
      const [bytes, count] = [Number(body.buf_size), Number(body.buf_count)];
      return Number.isInteger(bytes) && bytes >= 64 ? { bufferBytes: bytes, buffers: count || 1 } : null;
    } catch (error) {
      if (error instanceof AiotError && error.code === 'AIOT_SMP_UNSUPPORTED') return null;
      throw error;
    }
  }

  async images(): Promise<BoardImage[]> {
    return imagesOf(await this.request('read', [smpGroups.image, image.state], {}, 'list the images'));
  }

  /** Marks an image to run once at the next reset. `hash`: bytes from its records. */
  async test(hash: Uint8Array): Promise<BoardImage[]> {
    const body = { hash: new Uint8Array(hash), confirm: false };
    return imagesOf(await this.request('write', [smpGroups.image, image.state], body, 'test the image'));
  }

  /** Confirms the running image, or makes another one permanent without a test. */
  async confirm(hash?: Uint8Array): Promise<BoardImage[]> {
    const body = hash === undefined ? { confirm: true } : { hash: new Uint8Array(hash), confirm: true };
    return imagesOf(await this.request('write', [smpGroups.image, image.state], body, 'confirm the image'));
  }

  async erase(slot?: number): Promise<void> {
    const body = slot === undefined ? {} : { slot };
    await this.request('write', [smpGroups.image, image.erase], body, 'erase the slot');
  }

  /**
   * Uploads an image, with several chunks in flight at a time if the board has buffers for them. The board remembers the offset of an
   * interrupted upload of the same image, so the upload resumes there. If a chunk is lost, the board answers the subsequent ones with the
   * offset that it expects. The upload waits for the chunks in flight and continues at that offset.
   * @throws AIOT_SMP_…, AIOT_SMP_FAILED (the board does not advance, or received other bytes), AIOT_IMAGE_TOO_LARGE
   */
  async upload(
    bytes: Uint8Array,
    options: { image?: number; window?: number | undefined; onProgress?: (sent: number) => void } = {},
  ): Promise<UploadResult> {
    this.buffers ??= (await this.parameters()) ?? { bufferBytes: cautiousBytes, buffers: 1 };
    const mostBytes = Math.min(this.buffers.bufferBytes, this.port.mostBytes);
    // One buffer is reserved for the response.
    const window = options.window ?? Math.max(1, Math.min(this.port.window, this.buffers.buffers - 1));
    const sha = new Uint8Array(createHash('sha256').update(bytes).digest());
    const first = { image: options.image ?? 0, len: bytes.length, sha };
    let [at, resumedAt, chunkBytes, rewinds] = [0, 0, 0, 0];
    while (at < bytes.length) {
      const chunks: { off: number; chunk: Uint8Array; fields: Record<string, unknown> }[] = [];
      // The first chunk is sent alone, because its response determines where the upload begins.
      for (let off = at; off < bytes.length && chunks.length < (at === 0 ? 1 : window); ) {
        const fields = off === 0 ? first : {};
        const chunk = bytes.slice(off, off + roomFor(mostBytes, { ...fields, off }));
        chunkBytes = Math.max(chunkBytes, chunk.length);
        chunks.push({ off, chunk, fields });
        off += chunk.length;
      }
      const offsets = await this.sendChunks(chunks, bytes.length);
      // A lost chunk is repeated within the batch. Afterwards, the board may be further ahead than the last response states.
      const next = Math.max(...offsets);
      if (at === 0 && next > (chunks[0]?.chunk.length ?? 0)) resumedAt = next;
      // A board that has lost its state requests an earlier offset. All rewinds are counted, because alternating offsets would otherwise
      // cause an endless loop.
      if (next <= at) rewinds++;
      if (rewinds > mostRewinds) throw this.strange(next);
      at = next;
      options.onProgress?.(at);
    }
    return { bytes: bytes.length, resumedAt, chunkBytes, window };
  }

  /** Sends chunks without waiting for each response. Returns the offset that the board expects after each. */
  private async sendChunks(
    chunks: readonly { off: number; chunk: Uint8Array; fields: Record<string, unknown> }[],
    total: number,
  ): Promise<number[]> {
    const sent = chunks.map(({ off, chunk, fields }) => {
      const body = { ...fields, off, data: chunk };
      return this.request('write', [smpGroups.image, image.upload], body, 'upload the image');
    });
    // All responses are awaited, so that none of them is mistaken for a response of the next batch.
    const responses = await Promise.allSettled(sent);
    return responses.map((response) => {
      if (response.status === 'rejected') throw response.reason;
      const next = Number(response.value.off);
      if (!Number.isInteger(next) || next < 0 || next > total) throw this.strange(response.value.off);
      if (next === total && response.value.match === false) throw this.mismatch();
      return next;
    });
  }

  private strange(offset: unknown): AiotError {
    const message = `${this.address}: upload the image: the board does not advance, and expects offset ${String(offset)}`;
    return new AiotError('AIOT_SMP_FAILED', message, { endpoint: this.address });
  }

  private mismatch(): AiotError {
    const message = `${this.address}: upload the image: the SHA-256 of the bytes in the slot is not the image's`;
    return new AiotError('AIOT_SMP_FAILED', message, {
      endpoint: this.address,
      next: 'Erase the slot with `aiot board image erase`, and upload the image again. If this recurs, the flash is damaged.',
    });
  }

  /** Runs a shell command. Returns its output and its return value. */
  async execute(words: readonly string[]): Promise<{ output: string; status: number }> {
    const body = { argv: [...words] };
    const response = await this.request(
      'write',
      [smpGroups.shell, shell.execute],
      body,
      'run the command',
      1,
    );
    return { output: String(response.o ?? ''), status: Number(response.ret ?? response.rc ?? 0) };
  }

  /** Names of the groups of statistics. */
  async statisticsGroups(): Promise<string[]> {
    const body = await this.request(
      'read',
      [smpGroups.statistics, statistics.list],
      {},
      'list the statistics',
    );
    return Array.isArray(body.stat_list) ? body.stat_list.map(String) : [];
  }

  async statistics(name: string): Promise<Record<string, number>> {
    const key = [smpGroups.statistics, statistics.data] as const;
    const body = await this.request('read', key, { name }, `read the statistics ${name}`);
    return Object.fromEntries(
      Object.entries(body.fields ?? {}).map(([field, value]) => [field, Number(value)]),
    );
  }
}

/** Whether a request is answered in time. Other errors are thrown. */
async function answered(request: Promise<unknown>): Promise<boolean> {
  try {
    await request;
    return true;
  } catch (error) {
    if (!(error instanceof AiotError && error.code === 'AIOT_SMP_SILENT')) throw error;
    return false;
  }
}

/** Number of data bytes that fit into a packet in addition to its other fields. */
function roomFor(mostBytes: number, fields: Record<string, unknown>): number {
  const packet = {
    op: smpOps.write,
    version: 1,
    group: smpGroups.image,
    id: image.upload,
    sequence: 0,
  } as const;
  const used = encodeSmp({ ...packet, body: { ...fields, data: new Uint8Array(0) } }).length;
  // The length of the data takes up to two more bytes. Flash is written in words, so chunks are multiples of 4 bytes.
  return Math.max(4, Math.floor((mostBytes - used - 2) / 4) * 4);
}

function imagesOf(body: Record<string, unknown>): BoardImage[] {
  const list = Array.isArray(body.images) ? (body.images as Record<string, unknown>[]) : [];
  return list.map((entry) => ({
    image: Number(entry.image ?? 0),
    slot: Number(entry.slot ?? 0),
    version: String(entry.version ?? ''),
    hash: entry.hash instanceof Uint8Array ? Buffer.from(entry.hash).toString('hex') : null,
    bootable: entry.bootable === true,
    pending: entry.pending === true,
    confirmed: entry.confirmed === true,
    active: entry.active === true,
    permanent: entry.permanent === true,
  }));
}
