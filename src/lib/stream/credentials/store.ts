import { join } from 'node:path';
import { z } from 'zod';
import {
  AiotError,
  configFolder,
  issueText,
  makeFolder,
  readJson,
  unless,
  withLock,
  writeJsonAtomic,
} from '../../core/index.js';
import type { StreamCredentials } from '../options.js';

const text = z.string().min(1).optional();
const credentialsSchema = z.strictObject({
  ca: text,
  cert: text,
  key: text,
  username: text,
  password: text,
  sasl: z.enum(['plain', 'scram-sha-256', 'scram-sha-512']).optional(),
  token: text,
  creds: text,
  nkey: text,
  session: text,
  region: text,
}) satisfies z.ZodType<StreamCredentials>;
const fileSchema = z.strictObject({ endpoints: z.record(z.string(), credentialsSchema) });

/** By endpoint (see `credentialNames`); the texts themselves, so that no other file has to stay where it was. */
type Kept = Record<string, StreamCredentials>;

function pathIn(folder: string): string {
  return join(folder, 'credentials.json');
}

/** None kept yet is an empty set. @throws AIOT_FILE_MALFORMED, which repeats nothing of it */
export async function readCredentials(folder = configFolder()): Promise<Kept> {
  const path = pathIn(folder);
  const value = (await unless('AIOT_FILE_NOT_FOUND', readJson(path))) ?? { endpoints: {} };
  const result = fileSchema.safeParse(value);
  if (result.success) return result.data.endpoints as Kept;
  throw new AiotError('AIOT_FILE_MALFORMED', `${path}: ${issueText(result.error, 'the file')}`, {
    next: `Fix or delete ${path}; aiot stream login creates it again.`,
  });
}

/** Changes what is kept, one change at a time: mode 0600 in a folder of mode 0700. @throws what reading and writing throw */
export async function changeCredentials(
  change: (kept: Kept) => Kept | Promise<Kept>,
  folder = configFolder(),
): Promise<void> {
  await makeFolder(folder, 0o700);
  await withLock(join(folder, 'credentials.lock'), 10_000, async () => {
    const endpoints = await change(await readCredentials(folder));
    await writeJsonAtomic(pathIn(folder), { endpoints }, 0o600);
  });
}
