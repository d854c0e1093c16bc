import { createPrivateKey, X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import * as z from 'zod';
import { AiotError, unless } from '../core/errors.js';
import { makeFolder, readJson, readText, writeJsonAtomic } from '../core/files.js';
import { configFolder } from '../core/folders.js';
import { issueText } from '../core/issues.js';
import { withLock } from '../core/lock.js';
import type { StreamCredentials, StreamOptions } from './message.js';
import { parseStreamUrl, type StreamUrl } from './url.js';

/** Fields that identify the client. If one of them is given, stored credentials are not used. */
const identities = ['username', 'password', 'token', 'creds', 'nkey', 'cert'] as const;

/** Whether the URL or the options already contain credentials. */
export function saysWho(url: StreamUrl, given: StreamCredentials): boolean {
  return url.username !== undefined || identities.some((name) => given[name] !== undefined);
}

/**
 * The options plus the credentials stored by `aiot stream login` for this peer. All stored credentials apply if neither
 * the URL nor the options contain credentials. Otherwise, only the stored CA applies, if the options contain none.
 * @throws AIOT_FILE_MALFORMED
 */
export async function withKeptCredentials(url: StreamUrl, options: StreamOptions): Promise<StreamOptions> {
  const names = credentialNames(url);
  if (names.length === 0) return options;
  const all = await readCredentials();
  const kept = names.map((name) => all[name]).find((found) => found !== undefined);
  if (!kept) return options;
  if (saysWho(url, options)) return options.ca || !kept.ca ? options : { ...options, ca: kept.ca };
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return { ...kept, ...Object.fromEntries(given) };
}

const keptSchema = z.object({
  /** Endpoint such as `kafka://host:9092`; the credentials are used for all topics at this endpoint. */
  endpoint: z.string(),
  /** Names of the stored credentials; never their values. */
  kept: z.array(z.string()),
});

export const loginSchema = z.object({
  endpoints: z.array(keptSchema),
  /** Whether the destination has accepted the credentials; false if they were stored without trying them. */
  tried: z.boolean(),
});

export type Login = z.output<typeof loginSchema>;

interface LoginOptions {
  url: string;
  credentials: StreamCredentials;
  /**
   * Tests the credentials with the peer. If the function throws, nothing is stored; if it is absent, the credentials
   * are stored untested.
   */
  attempt?: (url: string, credentials: StreamCredentials) => Promise<void>;
}

/**
 * Stores credentials for a peer after trying them, including those in the URL.
 * @throws AIOT_USAGE (nothing to store), AIOT_STREAM_URL (no host), and the errors of the attempt
 */
export async function login({ url, credentials, attempt }: LoginOptions): Promise<Login> {
  const parts = parseStreamUrl(url);
  const names = credentialNames(parts);
  if (names.length === 0 || parts.scheme === 'aiot') {
    throw new AiotError('AIOT_STREAM_URL', `${parts.endpoint}: expected a broker address with a host`, {
      next: 'For your own platform, use `aiot context add NAME --url URL`.',
    });
  }
  const given = Object.entries({
    username: parts.username,
    password: parts.password,
    ...Object.fromEntries(Object.entries(credentials).filter(([, value]) => value !== undefined)),
  }).filter(([, value]) => value !== undefined);
  const kept = Object.fromEntries(given) as StreamCredentials;
  if (!saysWho(parts, kept) && kept.ca === undefined) {
    throw new AiotError(
      'AIOT_USAGE',
      'expected a credential to store: a username, token, certificate or CA',
      {
        next: 'Use, for example, --username NAME --password-file FILE, or --token-file FILE. A - reads from stdin.',
      },
    );
  }
  await attempt?.(url, kept);
  await changeCredentials((all) => ({ ...all, ...Object.fromEntries(names.map((name) => [name, kept])) }));
  return {
    endpoints: names.map((endpoint) => ({ endpoint, kept: Object.keys(kept).sort() })),
    tried: attempt !== undefined,
  };
}

/** Lists the stored credentials, sorted by endpoint. @throws AIOT_FILE_MALFORMED */
export async function listLogins(): Promise<Login> {
  const all = Object.entries(await readCredentials()).sort(([a], [b]) => a.localeCompare(b));
  return {
    endpoints: all.map(([endpoint, kept]) => ({ endpoint, kept: Object.keys(kept).sort() })),
    tried: false,
  };
}

/** Deletes the stored credentials of a destination. @throws AIOT_NOT_FOUND, AIOT_STREAM_URL */
export async function logout(url: string): Promise<Login> {
  const names = credentialNames(parseStreamUrl(url));
  let endpoints: Login['endpoints'] = [];
  await changeCredentials((all) => {
    const known = names.filter((name) => all[name] !== undefined);
    if (known.length === 0) {
      throw new AiotError('AIOT_NOT_FOUND', `no credentials are stored for ${names.join(', ')}`, {
        subject: 'login',
      });
    }
    endpoints = known.map((endpoint) => ({ endpoint, kept: Object.keys(all[endpoint] ?? {}).sort() }));
    return Object.fromEntries(Object.entries(all).filter(([name]) => !known.includes(name)));
  });
  return { endpoints, tried: false };
}

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

/**
 * Credentials by endpoint (see `credentialNames`). Certificates and keys are stored by content, so the original
 * files may be moved or deleted.
 */
type Kept = Record<string, StreamCredentials>;

function pathIn(folder: string): string {
  return join(folder, 'credentials.json');
}

/** Reads the stored credentials; empty if nothing is stored yet. @throws AIOT_FILE_MALFORMED, without quoting the contents */
async function readCredentials(folder = configFolder()): Promise<Kept> {
  const path = pathIn(folder);
  const value = (await unless('AIOT_FILE_NOT_FOUND', readJson(path))) ?? { endpoints: {} };
  const result = fileSchema.safeParse(value);
  if (result.success) return result.data.endpoints as Kept;
  throw new AiotError('AIOT_FILE_MALFORMED', `${path}: ${issueText(result.error, 'the file')}`, {
    next: `Fix or delete ${path}. \`aiot stream login\` creates it again.`,
  });
}

/**
 * Changes the stored credentials, one change at a time. The file has mode 0600, its folder 0700.
 * @throws the errors of reading and writing
 */
async function changeCredentials(
  change: (kept: Kept) => Kept | Promise<Kept>,
  folder = configFolder(),
): Promise<void> {
  await makeFolder(folder, 0o700);
  await withLock(join(folder, 'credentials.lock'), 10_000, async () => {
    const endpoints = await change(await readCredentials(folder));
    await writeJsonAtomic(pathIn(folder), { endpoints }, 0o600);
  });
}

/** Default ports by scheme. */
const ports: Record<string, number> = {
  http: 80,
  https: 443,
  kafka: 9092,
  kafkas: 9093,
  mqtt: 1883,
  mqtts: 8883,
  nats: 4222,
  natss: 4222,
  redis: 6379,
  rediss: 6379,
  ws: 80,
  wss: 443,
};

/**
 * The names under which a peer's credentials are stored, such as `mqtt://host:1883`, one for each of its hosts. The
 * scheme is part of the name, so that a password stored for an encrypted connection is never sent over a plain one.
 */
export function credentialNames({ scheme, host }: Pick<StreamUrl, 'scheme' | 'host'>): string[] {
  const port = ports[scheme];
  return host
    .split(',')
    .filter((one) => one !== '')
    .map((one) => {
      const named = /:\d+$/.test(one.replace(/^\[.*\]/, '')) || port === undefined;
      return `${scheme}://${one.toLowerCase()}${named ? '' : `:${port}`}`;
    });
}

interface CredentialFiles {
  ca?: string;
  cert?: string;
  key?: string;
  /** A NATS credentials file, as `nsc generate creds` writes it. */
  creds?: string;
}

/**
 * Reads PEM files, and a NATS credentials file.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED, AIOT_USAGE (a certificate without a key, or vice versa)
 */
export async function credentialsFrom(
  files: CredentialFiles,
): Promise<Pick<StreamCredentials, 'ca' | 'cert' | 'key' | 'creds'>> {
  if ((files.cert === undefined) !== (files.key === undefined)) {
    throw new AiotError('AIOT_USAGE', '--cert and --key must be used together');
  }
  const read: Pick<StreamCredentials, 'ca' | 'cert' | 'key' | 'creds'> = {};
  for (const name of ['ca', 'cert', 'key', 'creds'] as const) {
    const path = files[name];
    if (path !== undefined) read[name] = checked[name](await readText(path), path);
  }
  return read;
}

const checked = {
  ca: certificate,
  cert: certificate,
  key: (text: string, path: string) => pem(text, path, 'an unencrypted private key', createPrivateKey),
  // The file has nsc's format: the JWT between two lines of dashes, then the seed of its key.
  creds(text: string, path: string): string {
    if (/BEGIN NATS USER JWT[\s\S]*BEGIN USER NKEY SEED/.test(text)) return text;
    throw new AiotError('AIOT_FILE_MALFORMED', `${path}: expected a NATS user's JWT and NKey seed`);
  },
};

function certificate(text: string, path: string): string {
  return pem(text, path, 'a certificate', (content) => new X509Certificate(content));
}

function pem(text: string, path: string, what: string, parse: (text: string) => unknown): string {
  try {
    parse(text);
    return text;
  } catch (error) {
    throw new AiotError('AIOT_FILE_MALFORMED', `${path}: expected ${what} in PEM`, { cause: error });
  }
}
