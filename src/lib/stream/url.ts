import * as z from 'zod';
import { AiotError } from '../core/errors.js';
import { issueText } from '../core/issues.js';
import { dictionary } from '../core/names.js';

/** The parts of a stream's URL that adapters need. */
export interface StreamUrl {
  /** The scheme without the colon, such as `mqtt`. */
  scheme: string;
  /** The address shown in messages and errors, without credentials, topic and query. */
  endpoint: string;
  /** Host of the peer, with its port; several hosts are separated by commas. Empty for local schemes such as `file:` and `serial:`. */
  host: string;
  username: string | undefined;
  password: string | undefined;
  /** Topic or filter (mqtt), topic (kafka), subject (nats), path (file, serial), path and query (http), key (s3). */
  path: string;
  /**
   * The settings after the `?` (http: after the `#`, because servers never see that part); validated by `readQuery`.
   */
  query: Readonly<Record<string, string>>;
}

/** Schemes whose address is a file or a device of this machine, so that `file://x.csv` is x.csv and not a host. */
const localSchemes = new Set(['camera', 'exec', 'file', 'pictures', 'serial', 'stdin']);

/** Schemes whose query is part of the server's address, so that settings follow a `#`. */
const foreignQuery = new Set(['http', 'https']);

/**
 * Parses `scheme://[user:password@]host[:port]/path[?name=value&…]`. This is not a WHATWG URL: the path is a topic or a key in its broker's
 * notation. `#` does not start a fragment, because MQTT filters contain it, and `>`, `+`, `{n}` are literal. Escapes such as `%23` are
 * decoded; a `?` in a topic must be written as `%3F`. For http and https, whose query belongs to the server, settings follow a `#` instead.
 * @throws AIOT_STREAM_URL, without the URL, which may contain a password
 */
export function parseStreamUrl(url: string): StreamUrl {
  const [, scheme, rest = ''] = /^([a-z][a-z0-9+.-]*):(.*)$/is.exec(url) ?? [];
  if (!scheme) {
    throw new AiotError(
      'AIOT_STREAM_URL',
      'expected a URL such as mqtt://127.0.0.1:1883/sensors/#, got one without a scheme',
      // Only the end is checked, and the error quotes none of the text, because it may contain a password.
      /\.(ndjson|jsonl|csv|json)(\.gz)?$/i.test(url)
        ? { next: 'For a file, write file: before its path, such as file:messages.ndjson.' }
        : {},
    );
  }
  const name = scheme.toLowerCase();
  const local = localSchemes.has(name);
  const foreign = foreignQuery.has(name);
  const marked = rest.startsWith('//');
  // Settings may follow the host directly. A `/` in them does not end the host.
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
    // The path of an http address stays encoded, because the server decodes it.
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
    throw new AiotError('AIOT_STREAM_URL', `${endpoint}: a % is not followed by two hex digits`, {
      cause: error,
    });
  }
}

/** A setting that is `true` or `false`; the name alone means true. */
export const queryBoolean = z
  .enum(['true', 'false', '1', '0'])
  .transform((text) => text === 'true' || text === '1');

/** A whole number, 0 or more. */
export const queryCount = z
  .string()
  .regex(/^\d{1,15}$/, 'expected a whole number')
  .transform(Number);

/**
 * Reads and validates the settings in a URL's query. Settings that are not in `shape` are rejected.
 * @throws AIOT_STREAM_URL with the parameter's name and the valid names
 */
export function readQuery<Shape extends z.ZodRawShape>(
  url: StreamUrl,
  shape: Shape,
): z.output<z.ZodObject<Shape>> {
  const schema = z.strictObject(shape);
  const result = schema.safeParse(url.query);
  if (result.success) return result.data as z.output<z.ZodObject<Shape>>;
  const mark = url.scheme.startsWith('http') ? '#' : '?';
  const names = Object.keys(shape).join(', ');
  throw new AiotError(
    'AIOT_STREAM_URL',
    `${url.endpoint}: ${issueText(result.error, `the part after ${mark}`, url.query, schema)}`,
    {
      next:
        names === ''
          ? `Nothing may follow the ${mark} here.`
          : `After the ${mark}, only ${names} may follow.`,
    },
  );
}

/** Names of secret settings, and of secret parameters in a server's own query. */
const secretName =
  /^(.*[-_])?(secret|token|pass(word|wd|phrase)?|pwd|api[-_]?key|access[-_]?key|key|sig|signature|auth|credentials?|sas)$|(Secret|Token|Password|Key)$/i;

/** An address inside another address, such as a camera's URL or the value of a setting. */
const within = /[a-z][a-z0-9+.-]*:\/\/.*$/i;

/** The kind and location of a secret found in an address, but never the secret itself. */
export interface FoundSecret {
  what: 'a password' | 'a name or token' | 'a secret';
  /** Endpoint of the address that contains the secret; for a secret in an inner address, the inner endpoint. */
  endpoint: string;
  /** Name of the setting or parameter that contains the secret. */
  name?: string;
}

/**
 * Finds a secret in an address: before the `@`, in a setting, in the query of an http address, or in an inner address (`camera:rtsp://…`,
 * `?replyTo=…`). A user name without a password is considered a secret too, because NATS tokens and some brokers' secrets have that form.
 * Undefined if there is none.
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

/**
 * An address for display, with the endpoint and path, but without credentials, settings and an http address's query.
 * @throws AIOT_STREAM_URL
 */
export function shownUrl(url: string): string {
  const { endpoint, path } = parseStreamUrl(url);
  const place = path.replace(/([a-z]+:\/\/)([^/@\s]*@)?([^\s?]*)(\?\S*)?/gi, '$1$3');
  const own = /^https?:/.test(endpoint) ? place.split('?')[0]! : place;
  if (own === '') return endpoint;
  return endpoint.endsWith(':') ? `${endpoint}${own}` : `${endpoint}/${own}`;
}
