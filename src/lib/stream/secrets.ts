import { parseStreamUrl } from './url.js';

/** Settings, and parameters of a far side's own query, whose value is a secret. */
const secretName =
  /^(.*[-_])?(secret|token|pass(word|wd|phrase)?|pwd|api[-_]?key|access[-_]?key|key|sig|signature|auth|credentials?|sas)$|(Secret|Token|Password|Key)$/i;
/** An address within an address: of a camera, or as the value of a setting. */
const within = /[a-z][a-z0-9+.-]*:\/\/.*$/i;

/** What is secret in an address, as words, and where it belongs to; undefined where nothing is. Never gives the secret itself. */
export interface FoundSecret {
  what: 'a password' | 'a name or token' | 'a secret';
  /** Endpoint of the address that has it: of the one within, where it is there. */
  endpoint: string;
  /** The setting or parameter. */
  name?: string;
}

/**
 * A secret in an address: before the `@` (a NATS token stands alone there, and with some brokers a name is one), as a setting, in an http address's own query, or in an address
 * within it (`camera:rtsp://…`, `?replyTo=…`).
 * @throws AIOT_STREAM_URL
 */
export function secretIn(url: string): FoundSecret | undefined {
  const { endpoint, username, password, path, query } = parseStreamUrl(url);
  if (password !== undefined) return { what: 'a password', endpoint };
  if (username !== undefined) return { what: 'a name or token', endpoint };
  for (const [name, value] of [...Object.entries(query), ...new URLSearchParams(path.split('?')[1] ?? '')]) {
    if (secretName.test(name)) return { what: 'a secret', endpoint, name };
    const inner = within.test(value) ? secretIn(value) : undefined;
    if (inner) return inner;
  }
  const [inner] = within.exec(path) ?? [];
  return inner === undefined ? undefined : secretIn(inner);
}

/** An address for people: endpoint and place, without credentials, settings, and an http address's own query. @throws AIOT_STREAM_URL */
export function shownUrl(url: string): string {
  const { endpoint, path } = parseStreamUrl(url);
  const place = path.replace(/([a-z]+:\/\/)([^/@\s]*@)?([^\s?]*)(\?\S*)?/gi, '$1$3');
  const own = /^https?:/.test(endpoint) ? place.split('?')[0]! : place;
  if (own === '') return endpoint;
  return endpoint.endsWith(':') ? `${endpoint}${own}` : `${endpoint}/${own}`;
}
