import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { digestPattern, hasCode, readJson, sha256Hex, writeJsonAtomic } from '../../../core/index.js';
import { trustRootSchema } from '../../../formats/index.js';

const version = z.object({
  name: z.string(),
  version: z.int(),
  digest: z.string().regex(digestPattern),
});
export type KnownVersion = z.output<typeof version>;

/** What a reference such as har@production stood for when its platform was last asked. */
const referenceSchema = z.object({
  spec: z.literal('aiot-loop-model/1'),
  /** https origin of the platform. */
  url: z.string(),
  reference: z.string(),
  /** Whose signatures count: the platform's trust root as it was, so that nobody need be asked. */
  trust: trustRootSchema,
  /** No manifest below this sequence is taken any more. */
  floor: z.int(),
  /** What was put in use, the newest first. */
  history: z.array(version),
});
export type KnownReference = z.output<typeof referenceSchema>;

/** Versions to go back to. */
const kept = 4;

function folderOf(cache: string): string {
  return join(cache, 'loop', 'references');
}

function fileOf(cache: string, url: string, reference: string): string {
  return join(folderOf(cache), `${sha256Hex(`${url} ${reference}`).slice(0, 32)}.json`);
}

/** null = never asked, or what is there cannot be read: it is asked anew then. */
export async function readReference(
  cache: string,
  url: string,
  reference: string,
): Promise<KnownReference | null> {
  const value = await readJson(fileOf(cache, url, reference)).catch(() => null);
  const read = referenceSchema.safeParse(value);
  return read.success && read.data.url === url && read.data.reference === reference ? read.data : null;
}

/** @throws AIOT_FILE_NOT_WRITABLE */
export async function writeReference(cache: string, known: KnownReference): Promise<void> {
  await writeJsonAtomic(fileOf(cache, known.url, known.reference), known);
}

/** With this version in front; each digest is there once. */
export function withVersion(history: readonly KnownVersion[], used: KnownVersion): KnownVersion[] {
  return [used, ...history.filter(({ digest }) => digest !== used.digest)].slice(0, kept);
}

/** Digests that some reference may go back to. */
export async function knownDigests(cache: string): Promise<Set<string>> {
  const digests = new Set<string>();
  for (const name of await readdir(folderOf(cache)).catch(() => [])) {
    if (!name.endsWith('.json')) continue;
    const value = await readJson(join(folderOf(cache), name)).catch((error: unknown) => {
      if (hasCode(error, 'AIOT_FILE_MALFORMED') || hasCode(error, 'AIOT_FILE_NOT_FOUND')) return null;
      throw error;
    });
    const read = referenceSchema.safeParse(value);
    for (const { digest } of read.success ? read.data.history : []) digests.add(digest);
  }
  return digests;
}
