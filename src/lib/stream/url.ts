import { AiotError } from '../core/index.js';

/** What adapters need of a stream's URL. */
export interface StreamUrl {
  /** Such as `mqtt`, without the colon. */
  scheme: string;
  /** For messages and errors: no credentials, no topic. */
  endpoint: string;
  /** Of the far side, with the port; empty for `stdin:` and `file:`. */
  host: string;
  username: string | undefined;
  password: string | undefined;
  /** Topic or topic filter (mqtt), or path (file); empty when there is none. */
  path: string;
}

/**
 * `scheme://[user:password@]host[:port]/path`. The path of a broker's URL is its topic, `#` and `+` included: an MQTT filter is
 * no URL fragment. `%23` and the like are decoded.
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
  if (!rest.startsWith('//')) {
    return {
      scheme: name,
      endpoint: `${name}:`,
      host: '',
      username: undefined,
      password: undefined,
      path: rest,
    };
  }
  const slash = rest.indexOf('/', 2);
  const authority = slash < 0 ? rest.slice(2) : rest.slice(2, slash);
  const path = slash < 0 ? '' : rest.slice(slash + 1);
  const at = authority.lastIndexOf('@');
  const host = authority.slice(at + 1);
  const [username, ...password] = at < 0 ? [] : authority.slice(0, at).split(':');
  try {
    return {
      scheme: name,
      endpoint: `${name}://${host}`,
      host,
      username: username ? decodeURIComponent(username) : undefined,
      password: password.length > 0 ? decodeURIComponent(password.join(':')) : undefined,
      path: decodeURIComponent(path),
    };
  } catch (error) {
    throw new AiotError('AIOT_STREAM_URL', `${name}://${host}: a % in it is not followed by two hex digits`, {
      cause: error,
    });
  }
}
