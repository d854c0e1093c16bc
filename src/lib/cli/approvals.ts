import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { AiotError, unless } from '../core/errors.js';
import { makeFolder, readJson, writeJsonAtomic } from '../core/files.js';
import { configFolder } from '../core/folders.js';
import { shellWord } from '../core/text.js';

/** Time within which a call must be approved, and time within which an approval must be used; ms. */
const [askedMs, approvedMs] = [3_600_000, 300_000];

const fileSchema = z.strictObject({
  id: z.string(),
  /** Words of the command line, without the program's name. */
  argv: z.array(z.string()),
  /** Working folder of the call. */
  folder: z.string(),
  /** Expiry of the request or, once approved, of the approval; ms since 1970. */
  until: z.number(),
  /** SHA-256 of the token, hex; null = not approved. */
  token: z.string().nullable(),
});

/** A call that a person must approve. */
type Asked = z.output<typeof fileSchema>;

const folder = () => join(configFolder(), 'mcp');
const fileOf = (id: string) => join(folder(), `${id}.json`);
const digest = (text: string) => createHash('sha256').update(text).digest('hex');

/** Records a requested call. Expired calls are removed. */
export async function askFor(argv: readonly string[], cwd: string, now = Date.now()): Promise<Asked> {
  await makeFolder(folder(), 0o700);
  for (const name of await readdir(folder())) {
    const old = await unless('AIOT_FILE_NOT_FOUND', readJson(join(folder(), name)));
    const { success, data } = fileSchema.safeParse(old);
    if (!success || data.until < now) await rm(join(folder(), name), { force: true });
  }
  const id = randomBytes(4).toString('hex');
  const asked = { id, argv: [...argv], folder: cwd, until: now + askedMs, token: null };
  await writeJsonAtomic(fileOf(id), asked, 0o600);
  return asked;
}

/** Finds a pending call. @throws AIOT_NOT_FOUND if no call has this id, or the call has expired */
export async function askedFor(id: string, now = Date.now()): Promise<Asked> {
  const file = /^[0-9a-f]{8}$/.test(id)
    ? await unless('AIOT_FILE_NOT_FOUND', readJson(fileOf(id)))
    : undefined;
  const { success, data } = fileSchema.safeParse(file);
  if (success && data.until >= now) return data;
  throw new AiotError('AIOT_NOT_FOUND', `no call ${id} is waiting for approval`, {
    next: "Ask the agent to call the tool again: the reply contains the call's id.",
  });
}

/** The command line in readable form. Characters that could hide a part of it on a terminal are escaped. */
export function lineOf({ argv }: Asked): string {
  const hidden = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;
  const shown = (word: string) =>
    shellWord(word).replace(hidden, (char) => `\\u{${char.codePointAt(0)?.toString(16)}}`);
  return ['aiot', ...argv.map(shown)].join(' ');
}

/** Approves a call. The returned token is valid once, for exactly these words in this folder, for five minutes. */
export async function approve(asked: Asked, now = Date.now()): Promise<{ token: string; until: number }> {
  const token = `${asked.id}.${randomBytes(18).toString('base64url')}`;
  const until = now + approvedMs;
  await writeJsonAtomic(fileOf(asked.id), { ...asked, until, token: digest(token) }, 0o600);
  return { token, until };
}

/**
 * Consumes a token, even if it was issued for a different call. Returns whether the token was valid for exactly this
 * call.
 */
export async function redeem(
  token: string,
  { argv, folder: cwd }: { argv: readonly string[]; folder: string },
  now = Date.now(),
): Promise<boolean> {
  const [id = ''] = token.split('.');
  if (!/^[0-9a-f]{8}$/.test(id)) return false;
  const known = fileSchema.safeParse(await unless('AIOT_FILE_NOT_FOUND', readJson(fileOf(id)))).data;
  if (!known?.token || !timingSafeEqual(Buffer.from(known.token), Buffer.from(digest(token)))) return false;
  const used = `${fileOf(id)}.used`;
  // If the file is used twice at the same time, only one use succeeds in renaming it.
  const mine = await rename(fileOf(id), used).then(
    () => true,
    () => false,
  );
  if (!mine) return false;
  await rm(used, { force: true });
  const same = JSON.stringify([known.argv, known.folder]) === JSON.stringify([argv, cwd]);
  return same && known.until >= now;
}
