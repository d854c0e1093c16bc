import type { StreamCredentials, StreamOptions } from '../options.js';
import type { StreamUrl } from '../url.js';
import { credentialNames } from './endpoint.js';
import { readCredentials } from './store.js';

/** What says who we are; one of them given leaves those kept for the endpoint alone. */
const identities = ['username', 'password', 'token', 'creds', 'nkey', 'cert'] as const;

/** Whether the URL or what is given with it already says who we are. */
export function saysWho(url: StreamUrl, given: StreamCredentials): boolean {
  return url.username !== undefined || identities.some((name) => given[name] !== undefined);
}

/**
 * The options with what `aiot stream login` keeps for this far side: all of it where neither URL nor options say who we are,
 * otherwise its CA alone, where none is given. @throws AIOT_FILE_MALFORMED
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
