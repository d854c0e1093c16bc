import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { AiotError, unless } from '../core/errors.js';
import { makeFolder, readJson, writeJsonAtomic } from '../core/files.js';
import { configFolder } from '../core/folders.js';
import { shellWord } from '../core/text.js';

/** How long a call waits to be approved, and an approval to be used, ms. */
const [askedMs, approvedMs] = [3_600_000, 300_000];

const fileSchema = z.strictObject({
  id: z.string(),
  /** Words of the command line, without the program's name. */
  argv: z.array(z.string()),
  /** Folder that it runs in. */
  folder: z.string(),
  /** Of what it waits for now: an approval, or its use. Milliseconds since 1970. */
  until: z.number(),
  /** SHA-256 of the token, hex; null = not approved. */
  token: z.string().nullable(),
});

/** A call that somebody has to approve. */
type Asked = z.output<typeof fileSchema>;

const folder = () => join(configFolder(), 'mcp');
const fileOf = (id: string) => join(folder(), `${id}.json`);
const digest = (text: string) => createHash('sha256').update(text).digest('hex');

/** Writes down what is asked for. Calls whose time is over are forgotten. */
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

/** A call that waits. @throws AIOT_NOT_FOUND where there is none of this id, or its time is over */
export async function askedFor(id: string, now = Date.now()): Promise<Asked> {
  const file = /^[0-9a-f]{8}$/.test(id)
    ? await unless('AIOT_FILE_NOT_FOUND', readJson(fileOf(id)))
    : undefined;
  const { success, data } = fileSchema.safeParse(file);
  if (success && data.until >= now) return data;
  throw new AiotError('AIOT_NOT_FOUND', `no call ${id} waits for an approval`, {
    next: 'Have the agent call the tool again: its answer names the call.',
  });
}

/** The command line as a person reads it: what could hide a part of it from a terminal is written out. */
export function lineOf({ argv }: Asked): string {
  const hidden = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;
  const shown = (word: string) =>
    shellWord(word).replace(hidden, (char) => `\\u{${char.codePointAt(0)?.toString(16)}}`);
  return ['aiot', ...argv.map(shown)].join(' ');
}

/** Approves it: the token is good once, for just these words in this folder, until five minutes have passed. */
export async function approve(asked: Asked, now = Date.now()): Promise<{ token: string; until: number }> {
  const token = `${asked.id}.${randomBytes(18).toString('base64url')}`;
  const until = now + approvedMs;
  await writeJsonAtomic(fileOf(asked.id), { ...asked, until, token: digest(token) }, 0o600);
  return { token, until };
}

/** Uses a token up, whatever it is shown with; says whether it was one for just this. */
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
  // Of two that come at once, one has it.
  const mine = await rename(fileOf(id), used).then(
    () => true,
    () => false,
  );
  if (!mine) return false;
  await rm(used, { force: true });
  const same = JSON.stringify([known.argv, known.folder]) === JSON.stringify([argv, cwd]);
  return same && known.until >= now;
}
