import { join } from 'node:path';
import * as z from 'zod';
import { digestOf, digestPattern } from '../core/crypto.js';
import { unless } from '../core/errors.js';
import { readBytes, writeTogether } from '../core/files.js';
import type { RenderedFile } from './types.js';

/** File next to the rendered files that records their digests, which reveal later edits. */
const recordFile = '.aiot-deploy.json';

const recordSchema = z.object({
  /** Digests of the files at the time of writing, by target and path. */
  targets: z.record(z.string(), z.record(z.string(), z.string().regex(digestPattern))),
});
type DeployRecord = z.output<typeof recordSchema>;

export const fileStates = ['created', 'changed', 'unchanged', 'edited', 'left'] as const;
export type FileState = (typeof fileStates)[number];

/** A file in the folder, compared with its rendering. */
export interface Compared {
  path: string;
  about: string;
  bytes: number;
  did: FileState;
}

/**
 * Determines how writing would affect each file, in order. Files created only by an earlier rendering of the target come last.
 */
export async function compareWith(
  dir: string,
  target: string,
  files: readonly RenderedFile[],
): Promise<Compared[]> {
  const before = (await recordOf(dir)).targets[target] ?? {};
  const compared = await Promise.all(
    files.map(async ({ path, about, text }): Promise<Compared> => {
      const bytes = Buffer.byteLength(text);
      const there = await unless('AIOT_FILE_NOT_FOUND', readBytes(join(dir, path)));
      if (there === undefined) return { path, about, bytes, did: 'created' };
      if (there.toString('utf8') === text) return { path, about, bytes, did: 'unchanged' };
      return { path, about, bytes, did: before[path] === digestOf(there) ? 'changed' : 'edited' };
    }),
  );
  const now = new Set(files.map(({ path }) => path));
  for (const path of Object.keys(before)) {
    if (now.has(path)) continue;
    const there = await unless('AIOT_FILE_NOT_FOUND', readBytes(join(dir, path)));
    if (there) compared.push({ path, about: 'from an earlier rendering', bytes: there.length, did: 'left' });
  }
  return compared;
}

/** Writes all files and the record, or nothing. @throws AIOT_FILE_NOT_WRITABLE */
export async function writeFiles(dir: string, target: string, files: readonly RenderedFile[]): Promise<void> {
  const { targets } = await recordOf(dir);
  const written = Object.fromEntries(files.map(({ path, text }) => [path, digestOf(Buffer.from(text))]));
  const record: DeployRecord = { targets: { ...targets, [target]: written } };
  await writeTogether(
    new Map([
      ...files.map(({ path, text }) => [join(dir, path), text] as const),
      [join(dir, recordFile), `${JSON.stringify(record, null, 2)}\n`] as const,
    ]),
  );
}

/** Names of the targets that were rendered into the folder. */
export async function renderedTargets(dir: string): Promise<string[]> {
  return Object.keys((await recordOf(dir)).targets);
}

/** Reads the record. A damaged record is treated as empty, so every file is considered edited. */
async function recordOf(dir: string): Promise<DeployRecord> {
  const bytes = await unless('AIOT_FILE_NOT_FOUND', readBytes(join(dir, recordFile)));
  try {
    return recordSchema.parse(JSON.parse(bytes?.toString('utf8') ?? ''));
  } catch {
    return { targets: {} };
  }
}
