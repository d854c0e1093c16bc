import { join } from 'node:path';
import { z } from 'zod';
import { AiotError, unless } from './errors/index.js';
import { makeFolder, readJson, writeJsonAtomic } from './files.js';
import { configFolder } from './folders.js';
import { namePattern } from './ids.js';
import { issueText } from './issues.js';

/** What there may be behind a context: this project's platform, or an installation of the guide's services. */
export const contextKinds = ['platform', 'architects-guide'] as const;
export type ContextKind = (typeof contextKinds)[number];

/** One platform, as this user reaches it. */
export const contextSchema = z.strictObject({
  /** Absent = a platform of this project. */
  kind: z.enum(contextKinds).optional(),
  /** https URL of the API. */
  url: z.url(),
  /** mqtts URL of the broker. */
  mqtt: z.url().optional(),
  /** mqtt URL of its plain listener, where `aiot up --plain` has one. */
  plain: z.url().optional(),
  /** PEM file of the CA that signed the server's certificate. */
  ca: z.string().optional(),
  /** SHA-256 of the only certificate that is taken, 64 hex digits (the guide's installations). */
  fingerprint: z.string().optional(),
  /** Operator token (secret). */
  token: z.string().optional(),
});
export type PlatformContext = z.output<typeof contextSchema>;

const fileSchema = z.strictObject({
  current: z.string().optional(),
  contexts: z.record(z.string().regex(namePattern), contextSchema),
});
export type Contexts = z.output<typeof fileSchema>;

function contextsFile(folder: string): string {
  return join(folder, 'contexts.json');
}

/** The user's contexts; none yet is an empty set. @throws AIOT_FILE_MALFORMED */
export async function readContexts(folder = configFolder()): Promise<Contexts> {
  const path = contextsFile(folder);
  const value = (await unless('AIOT_FILE_NOT_FOUND', readJson(path))) ?? { contexts: {} };
  const result = fileSchema.safeParse(value);
  if (result.success) return result.data;
  throw new AiotError('AIOT_FILE_MALFORMED', `${path}: ${issueText(result.error, 'the file')}`, {
    next: `Mend or delete ${path}; aiot context add makes it again.`,
  });
}

/** Mode 0600 in a folder of mode 0700: it holds tokens. */
export async function writeContexts(contexts: Contexts, folder = configFolder()): Promise<void> {
  await makeFolder(folder, 0o700);
  await writeJsonAtomic(contextsFile(folder), contexts, 0o600);
}
