import { z } from 'zod';
import { AiotError } from '../../core/index.js';

/**
 * A backup is one tar file: `backup.json` first, then tables, pki, journal and blobs, then `manifest.json`, which names every
 * entry before it with its digest, and last `manifest.mac`, its HMAC-SHA256. A file without its end is none.
 */
export const format = 'aiot-backup/1';

/** What scrypt takes with these parameters, bytes (RFC 7914, section 5: V, B and what it works in). */
export function memoryOf({ N, r, p }: { N: number; r: number; p: number }): number {
  return 128 * r * (N + p + 2);
}

/** Of scrypt, bytes: a backup that somebody else made does not take all that a machine has. */
const mostMemory = 2 ** 30;

export const headSchema = z.object({
  format: z.literal(format),
  /** Version of aiot that made it. */
  aiot: z.string(),
  /** How many migrations its tables have seen. */
  schema: z.int().min(1),
  /** ms since 1970 */
  created: z.int(),
  /** RFC 7914: what makes the two keys of the passphrase. */
  scrypt: z
    .object({
      salt: z.string(),
      N: z
        .int()
        .min(2)
        .max(2 ** 20),
      r: z.int().min(1).max(32),
      p: z.int().min(1).max(16),
    })
    .refine(({ N }) => Number.isInteger(Math.log2(N)), { message: 'expected a power of two as N' })
    .refine(({ N, r, p }) => memoryOf({ N, r, p }) <= mostMemory, {
      message: 'expected parameters of scrypt that take at most 1 GiB',
    }),
});
export type BackupHead = z.output<typeof headSchema>;

export const manifestSchema = z.object({
  format: z.literal(format),
  entries: z.array(z.object({ name: z.string(), bytes: z.int(), digest: z.string() })),
  /** Rows of each table. */
  rows: z.record(z.string(), z.int()),
  /** Digests of blobs that versions refer to and that were not there when it was made. */
  missing: z.array(z.string()).default([]),
  /** What was damaged when it was made: digests of blobs, which are not in it, and files of the journal with what is wrong with them. */
  damaged: z.array(z.string()).default([]),
});
export type BackupManifest = z.output<typeof manifestSchema>;

export const names = { head: 'backup.json', manifest: 'manifest.json', mac: 'manifest.mac' } as const;
/** Behind the name of what only the passphrase opens. */
export const sealedEnd = '.sealed';

const known = [
  /^tables\/[A-Za-z]{1,40}\.ndjson(\.sealed)?$/,
  /^pki\/[A-Za-z][A-Za-z0-9.]{0,30}\.sealed$/,
  /^journal\/\d{8}(\.\d{1,9})?\.(log|ndjson)$/,
  /^blobs\/sha256\/[0-9a-f]{64}$/,
];

/** Whether an entry is one that a backup has: nothing else is ever written anywhere. */
export function isKnown(name: string): boolean {
  return Object.values<string>(names).includes(name) || known.some((pattern) => pattern.test(name));
}

export function malformed(what: string, cause?: unknown): AiotError {
  return new AiotError('AIOT_BACKUP_MALFORMED', what, { cause });
}
