import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import { configFolder, makeFolder, readJson, unless, writeJsonAtomic } from '../../core/index.js';

const schema = z.record(z.string(), z.string());

/** Where the secrets of webhooks are, by the folder of the project: the user's alone. */
export function secretsFile(): string {
  return join(configFolder(), 'pipeline-secrets.json');
}

/** The secret with which requests to a project's webhook are signed; made the first time. @throws AIOT_FILE_MALFORMED */
export async function webhookSecret(dir: string): Promise<string> {
  const file = secretsFile();
  const read = schema.safeParse((await unless('AIOT_FILE_NOT_FOUND', readJson(file))) ?? {});
  const all = read.success ? read.data : {};
  const known = all[dir];
  if (known !== undefined) return known;
  const made = `whsec_${randomBytes(24).toString('base64')}`;
  await makeFolder(configFolder(), 0o700);
  await writeJsonAtomic(file, { ...all, [dir]: made }, 0o600);
  return made;
}
