import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import * as z from 'zod';
import { createClient, type RegistryClient } from '../api/client.js';
import { type BatchRequest, batchSchema, type EnrollReply, serialSchema } from '../api/contract/batches.js';
import { generateKeyPair } from '../core/crypto.js';
import { AiotError, hasCode, unless } from '../core/errors.js';
import { readJson, readText, writeFileAtomic } from '../core/files.js';
import { issueText } from '../core/issues.js';
import { timeLimit } from '../core/tasks.js';
import { type Clock, systemClock, withJitter } from '../core/time.js';
import { csvRecords } from '../formats/csv/records.js';
import { certificateRequest } from './certificates.js';
import { identityFiles, identityOf, openPlace } from './identity-folder.js';

/** Data that all devices of a batch need to connect for the first time. It is part of their factory image. */
export const batchFileSchema = z.strictObject({
  spec: z.literal('aiot-batch/1'),
  batch: z.string(),
  type: z.string(),
  /** https URL of the platform. */
  url: z.url({ protocol: /^https$/, error: 'expected an https URL' }),
  /** PEM of the platform's CA; null = a publicly trusted one. */
  ca: z.string().nullable(),
  key: z.string().regex(/^[\x21-\x7e]+$/, 'expected a key from `aiot device batch create`'),
  /** ms since 1970 */
  expires: z.int().min(0).max(8.64e15),
});
export type BatchFile = z.output<typeof batchFileSchema>;

export const createdBatchSchema = batchSchema.extend({
  url: z.string(),
  key: z.string(),
  /** File for the factory image; null = the key was only printed. */
  file: z.string().nullable(),
});
export type CreatedBatch = z.output<typeof createdBatchSchema>;

interface CreateOptions extends Omit<BatchRequest, 'serials'> {
  client: { url: string; batches: Pick<RegistryClient['batches'], 'create'> };
  /** CSV file of the expected serial numbers. */
  serialsFile: string | undefined;
  /** PEM file of the platform's CA. */
  caFile: string | undefined;
  /** Output file, mode 0600. */
  out: string | undefined;
}

/**
 * Creates a batch, and the file for its devices.
 * @throws AIOT_ALREADY_EXISTS (also for the file), AIOT_CSV_COLUMNS, AIOT_CSV_EMPTY, AIOT_FILE_MALFORMED, AIOT_FILE_NOT_WRITABLE
 */
export async function createBatch({ client, serialsFile, caFile, out, ...request }: CreateOptions) {
  // The key is shown once, so nothing may fail after the batch has been created.
  if (out !== undefined && existsSync(out)) {
    throw new AiotError('AIOT_ALREADY_EXISTS', `${out} exists, and may contain the key of another batch`, {
      subject: 'batch',
      next: 'Choose another file with --out.',
    });
  }
  const serials = serialsFile === undefined ? [] : readSerials(await readText(serialsFile), serialsFile);
  const ca = caFile === undefined ? null : await readText(caFile);
  const { batch, key } = await client.batches.create({ ...request, serials });
  const { name, type, expires } = batch;
  const file: BatchFile = { spec: 'aiot-batch/1', batch: name, type, url: client.url, ca, key, expires };
  if (out !== undefined) await writeFileAtomic(out, `${JSON.stringify(file, null, 2)}\n`, 0o600);
  return { ...batch, url: client.url, key, file: out ?? null };
}

/**
 * Reads serial numbers from a CSV file with a column `serial`; other columns are ignored. `file`: name in messages.
 * @throws AIOT_CSV_COLUMNS, AIOT_CSV_EMPTY, AIOT_FILE_MALFORMED (with the line)
 */
export function readSerials(text: string, file: string): string[] {
  const [head, ...records] = csvRecords(text, file);
  const column = (head?.cells ?? []).findIndex((cell) => cell.trim().toLowerCase() === 'serial');
  if (column < 0) {
    const got = head?.cells.join() ?? 'an empty file';
    throw new AiotError(
      'AIOT_CSV_COLUMNS',
      `${file}:${head?.line ?? 1}: expected a column serial, got ${got}`,
      {
        next: 'Name the columns in the first line, one of them `serial`.',
      },
    );
  }
  if (records.length === 0) throw new AiotError('AIOT_CSV_EMPTY', `${file} lists no serial numbers`);
  const lines = new Map<string, number>();
  for (const { line, cells } of records) {
    const serial = (cells[column] ?? '').trim();
    const parsed = serialSchema.safeParse(serial);
    const before = lines.get(serial);
    if (parsed.success && before === undefined) lines.set(serial, line);
    else {
      const problem = parsed.success
        ? `the serial number ${serial} is also on line ${before}`
        : `expected a serial number (letters, digits, dot, dash or underscore, at most 32), got "${serial}"`;
      throw new AiotError('AIOT_FILE_MALFORMED', `${file}:${line}: ${problem}`, { subject: 'csv' });
    }
  }
  return [...lines.keys()];
}

/** @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED */
export async function readBatch(file: string): Promise<BatchFile> {
  const parsed = batchFileSchema.safeParse(await readJson(file));
  if (parsed.success) return parsed.data;
  throw new AiotError('AIOT_FILE_MALFORMED', `${file}: ${issueText(parsed.error, 'the file')}`, {
    next: 'Create one with `aiot device batch create NAME --out FILE`.',
  });
}

export interface EnrollOptions {
  /** Folder for the identity. */
  dir: string;
  /** File from `device batch create`. */
  batch: string;
  /** Serial number; absent = the folder's name. */
  serial?: string | undefined;
  mac?: string | undefined;
  /** How long to wait for the approval; absent = without limit. */
  timeoutMs?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Called once when the device begins to wait for its approval. */
  onWait?: ((name: string) => void) | undefined;
  /** Called each time the platform accepts no more requests for now. `ms`: time until the next request */
  onLimit?: ((ms: number) => void) | undefined;
  clock?: Pick<Clock, 'sleep'> | undefined;
}

/** File with the key of a device that waits. The serial number belongs to this key, so each attempt must use it. */
const keyFile = 'batch.key';
/** Pause after a failed request of a device that waits, ms. */
const failedMs = 10_000;
/** Pause if the platform accepts no more requests for now, ms: the usual one, the shortest and the longest. */
const limitedMs = { usual: 60_000, least: 1000, most: 3_600_000 };

/**
 * Obtains an identity with the key of a batch: creates the device's own key, asks for a certificate, and waits until the device is
 * approved. An attempt that was interrupted continues with the same key.
 * @returns the paths of the files; empty if the folder has an identity already
 * @throws AIOT_BATCH_INVALID, AIOT_ENROLLMENT_REFUSED, AIOT_PLATFORM_UNREACHABLE (before the device waits), AIOT_TIMEOUT, AIOT_USAGE (serial number)
 */
export async function enrollDevice(options: EnrollOptions): Promise<string[]> {
  const { dir, mac } = options;
  if (existsSync(join(dir, 'device.json'))) return [];
  const serial = serialOf(options);
  const { url, ca, key: batchKey } = await readBatch(options.batch);
  const place = await openPlace(dir, identityFiles);
  const client = createClient({ url, ...(ca === null ? {} : { ca }) });
  try {
    const pending = join(dir, keyFile);
    const before = await unless('AIOT_FILE_NOT_FOUND', readText(pending));
    const key = before ?? generateKeyPair().privatePem;
    if (before === undefined) await writeFileAtomic(pending, key, 0o600);
    const csr = await certificateRequest(key, serial);
    const request = { key: batchKey, csr, serial, ...(mac === undefined ? {} : { mac }) };
    const identity = await untilIssued(() => client.enrollments.enroll(request), options);
    const files = await place.put(identityOf(key, identity));
    await rm(pending, { force: true });
    return files;
  } finally {
    await client.close();
    await place.leave();
  }
}

async function untilIssued(ask: () => Promise<EnrollReply>, options: EnrollOptions) {
  const { signal, timeoutMs, onWait, onLimit, clock = systemClock } = options;
  const limit = timeLimit(timeoutMs, signal);
  let name: string | undefined;
  for (;;) {
    let pauseMs = failedMs;
    try {
      const { identity, name: own, retryMs } = await ask();
      if (identity) return identity;
      if (name === undefined) onWait?.(own);
      name = own;
      pauseMs = retryMs ?? failedMs;
    } catch (error) {
      // Thousands of devices may start at once. A device that waits also survives a restart of the platform.
      if (hasCode(error, 'AIOT_RATE_LIMITED')) {
        pauseMs = pauseAfter(error);
        onLimit?.(pauseMs);
      } else if (name === undefined || !(error instanceof AiotError) || !error.retryable) throw error;
    }
    await clock.sleep(pauseMs, limit).catch((error: unknown) => {
      if (signal?.aborted || !limit.aborted) throw error;
      throw lateError(name);
    });
  }
}

/** At least as long as the platform asks for. Devices that were limited together do not return together. */
function pauseAfter({ retryAfterMs = limitedMs.usual }: AiotError): number {
  return withJitter(Math.min(limitedMs.most, Math.max(limitedMs.least, (retryAfterMs * 4) / 3)));
}

function lateError(name: string | undefined): AiotError {
  if (name === undefined)
    return new AiotError('AIOT_TIMEOUT', 'the platform had too many other devices to answer', {
      next: 'Repeat the command after a minute, or allow more time with --timeout.',
    });
  return new AiotError('AIOT_TIMEOUT', `${name} still waits for its approval`, {
    next: `As an operator, run \`aiot device approve ${name}\`. Then repeat the command.`,
  });
}

function serialOf({ dir, serial = basename(resolve(dir)) }: EnrollOptions): string {
  if (serialSchema.safeParse(serial).success) return serial;
  const rule = 'letters, digits, dot, dash or underscore, at most 32';
  throw new AiotError('AIOT_USAGE', `invalid serial number: expected ${rule}, got "${serial}"`, {
    next: 'Specify it with --serial.',
  });
}
