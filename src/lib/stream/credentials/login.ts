import { z } from 'zod';
import { AiotError } from '../../core/index.js';
import type { StreamCredentials } from '../options.js';
import { parseStreamUrl } from '../url.js';
import { credentialNames } from './endpoint.js';
import { saysWho } from './resolve.js';
import { changeCredentials, readCredentials } from './store.js';

export const keptSchema = z.object({
  /** Such as `kafka://host:9092`: the credentials are used for every topic there. */
  endpoint: z.string(),
  /** What is kept, by name; never a value. */
  kept: z.array(z.string()),
});
export const loginSchema = z.object({
  endpoints: z.array(keptSchema),
  /** The far side let us in with them; false where it was not asked. */
  tried: z.boolean(),
});
export type Login = z.output<typeof loginSchema>;

export interface LoginOptions {
  url: string;
  credentials: StreamCredentials;
  /** Asks the far side; what it throws leaves all as it was. Absent: they are kept untried. */
  attempt?: (url: string, credentials: StreamCredentials) => Promise<void>;
}

/**
 * Keeps credentials for a far side, after trying them. Those in the URL count too.
 * @throws AIOT_USAGE (nothing to keep), AIOT_STREAM_URL (no host), and what the attempt throws
 */
export async function login({ url, credentials, attempt }: LoginOptions): Promise<Login> {
  const parts = parseStreamUrl(url);
  const names = credentialNames(parts);
  if (names.length === 0 || parts.scheme === 'aiot') {
    throw new AiotError('AIOT_STREAM_URL', `${parts.endpoint}: expected a broker's address with its host`, {
      next: 'For a platform of your own: aiot context add NAME --url URL',
    });
  }
  const given = Object.entries({
    username: parts.username,
    password: parts.password,
    ...Object.fromEntries(Object.entries(credentials).filter(([, value]) => value !== undefined)),
  }).filter(([, value]) => value !== undefined);
  const kept = Object.fromEntries(given) as StreamCredentials;
  if (!saysWho(parts, kept) && kept.ca === undefined) {
    throw new AiotError('AIOT_USAGE', 'expected something to keep: a username, token, certificate or CA', {
      next: 'Such as --username NAME --password-file FILE, or --token-file FILE; - reads stdin.',
    });
  }
  await attempt?.(url, kept);
  await changeCredentials((all) => ({ ...all, ...Object.fromEntries(names.map((name) => [name, kept])) }));
  return {
    endpoints: names.map((endpoint) => ({ endpoint, kept: Object.keys(kept).sort() })),
    tried: attempt !== undefined,
  };
}

/** What is kept, by endpoint. @throws AIOT_FILE_MALFORMED */
export async function listLogins(): Promise<Login> {
  const all = Object.entries(await readCredentials()).sort(([a], [b]) => a.localeCompare(b));
  return {
    endpoints: all.map(([endpoint, kept]) => ({ endpoint, kept: Object.keys(kept).sort() })),
    tried: false,
  };
}

/** Forgets what is kept for a far side. @throws AIOT_STREAM_LOGIN_NOT_FOUND, AIOT_STREAM_URL */
export async function logout(url: string): Promise<Login> {
  const names = credentialNames(parseStreamUrl(url));
  let endpoints: Login['endpoints'] = [];
  await changeCredentials((all) => {
    const known = names.filter((name) => all[name] !== undefined);
    if (known.length === 0) {
      throw new AiotError('AIOT_STREAM_LOGIN_NOT_FOUND', `no credentials are kept for ${names.join(', ')}`);
    }
    endpoints = known.map((endpoint) => ({ endpoint, kept: Object.keys(all[endpoint] ?? {}).sort() }));
    return Object.fromEntries(Object.entries(all).filter(([name]) => !known.includes(name)));
  });
  return { endpoints, tried: false };
}
