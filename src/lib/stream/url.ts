import * as z from 'zod';
import { AiotError } from '../core/errors.js';
import { issueText } from '../core/issues.js';
import { dictionary } from '../core/names.js';

/** What adapters need of a stream's URL. */
export interface StreamUrl {
  /** Such as `mqtt`, without the colon. */
  scheme: string;
  /** For messages and errors: no credentials, no topic, no query. */
  endpoint: string;
  /** Address of the peer, with the port, comma-separated where there are several; empty for `stdin:`, `file:` and `serial:`. */
  host: string;
  username: string | undefined;
  password: string | undefined;
  /** Topic or filter (mqtt), topic (kafka), subject (nats), path (file, serial), path with its query (http), key (s3). */
  path: string;
  /** What stands after the `?` (http: after the `#`, which servers never see); `readQuery` checks it. */
  query: Readonly<Record<string, string>>;
}

/** Schemes whose address is a file or a device of this machine, so that `file://x.csv` is x.csv and not a host. */
const localSchemes = new Set(['camera', 'exec', 'file', 'pictures', 'serial', 'stdin']);

/** Schemes whose query belongs to the far side. */
const foreignQuery = new Set(['http', 'https']);

/**
 * `scheme://[user:password@]host[:port]/path[?name=value&…]`. It is no WHATWG URL: the path is a topic or a key as its broker
 * writes it, so `#` starts no fragment (an MQTT filter has it) and `>`, `+`, `{n}` stay what they are. `%23` and the like are
 * decoded; a `?` in a topic is written `%3F`.
 * @throws AIOT_STREAM_URL, which never repeats the URL: there may be a password in it
 */
export function parseStreamUrl(url: string): StreamUrl {
  const [, scheme, rest = ''] = /^([a-z][a-z0-9+.-]*):(.*)$/is.exec(url) ?? [];
  if (!scheme) {
    throw new AiotError(
      'AIOT_STREAM_URL',
      'expected a URL such as mqtt://127.0.0.1:1883/sensors/#, got one without a scheme',
    );
  }
  const name = scheme.toLowerCase();
  const local = localSchemes.has(name);
  const foreign = foreignQuery.has(name);
  const marked = rest.startsWith('//');
  // Settings may follow the host at once: a `/` in them is not where it ends.
  const [authority = ''] = marked && !local ? (foreign ? /^[^/?#]*/ : /^[^/?]*/).exec(rest.slice(2))! : [];
  const after = !marked ? rest : local ? rest.slice(2) : rest.slice(2 + authority.length).replace(/^\//, '');
  const mark = after.indexOf(foreign ? '#' : '?');
  const at = authority.lastIndexOf('@');
  const host = authority.slice(at + 1);
  const endpoint = marked && !local ? `${name}://${host}` : `${name}:`;
  const decode = (text: string) => decoded(text, endpoint);
  const own = mark < 0 ? after : after.slice(0, mark);
  const [username, ...password] = at < 0 ? [] : authority.slice(0, at).split(':');
  return {
    scheme: name,
    endpoint,
    host,
    username: username ? decode(username) : undefined,
    password: password.length > 0 ? decode(password.join(':')) : undefined,
    // Far sides decode an http path themselves.
    path: foreign ? own : decode(own),
    query: mark < 0 ? {} : queryOf(after.slice(mark + 1), decode),
  };
}

function queryOf(text: string, decode: (text: string) => string): Record<string, string> {
  const query = dictionary<string>();
  for (const pair of text.split('&').filter((part) => part !== '')) {
    const equals = pair.indexOf('=');
    const name = decode(equals < 0 ? pair : pair.slice(0, equals));
    query[name] = equals < 0 ? 'true' : decode(pair.slice(equals + 1));
  }
  return query;
}

function decoded(text: string, endpoint: string): string {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    throw new AiotError('AIOT_STREAM_URL', `${endpoint}: a % in it is not followed by two hex digits`, {
      cause: error,
    });
  }
}

/** `true`, `false`, or the name alone, which is true. */
export const queryBoolean = z
  .enum(['true', 'false', '1', '0'])
  .transform((text) => text === 'true' || text === '1');

/** A whole number of 0 or more. */
export const queryCount = z
  .string()
  .regex(/^\d{1,15}$/, 'expected a whole number')
  .transform(Number);

/**
 * The settings in a URL's query, checked: each adapter names those that it has, and any other is refused.
 * @throws AIOT_STREAM_URL naming the parameter and those that there are
 */
export function readQuery<Shape extends z.ZodRawShape>(
  url: StreamUrl,
  shape: Shape,
): z.output<z.ZodObject<Shape>> {
  const result = z.strictObject(shape).safeParse(url.query);
  if (result.success) return result.data as z.output<z.ZodObject<Shape>>;
  const mark = url.scheme.startsWith('http') ? '#' : '?';
  const names = Object.keys(shape).join(', ');
  throw new AiotError(
    'AIOT_STREAM_URL',
    `${url.endpoint}: ${issueText(result.error, `the part after ${mark}`, url.query)}`,
    { next: names === '' ? `Nothing may follow the ${mark} here.` : `After the ${mark} may stand: ${names}` },
  );
}

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
