import { AiotError } from '../../core/index.js';
import { parseStreamUrl, type StreamOptions } from '../../stream/index.js';
import { motionStreams } from './layout.js';
import type { StageOptions } from './types.js';

/** The NATS server of the motion system. */
export interface MotionServer {
  /** Without credentials. */
  endpoint: string;
  /** Credentials, and nothing else. */
  options: StreamOptions;
  /** Of a record a sample; empty for x, y and z. */
  subject: string;
  urlOf(subject: string): string;
}

/** In the original's certificates the server has this name, whatever its address. */
const originalName = 'nats';

/**
 * A `nats:` URL among those given, or else NATS_ADDRESS (`HOST`, `HOST:PORT` or a URL), with NATS_TOKEN. A bare address with a CA or a
 * certificate is held to the server name `nats`, as the original's clients hold it; a URL says its own (`?servername=`).
 * @throws AIOT_USAGE, AIOT_STREAM_URL
 */
export function motionServer({ env, urls = [], credentials = {} }: StageOptions): MotionServer {
  const given = urls.find((url) => /^natss?:/i.test(url));
  const address = given ?? addressOf(env);
  const bare = given === undefined && !address.includes('://');
  const { scheme, host, endpoint, username, password, path, query } = parseStreamUrl(
    bare ? `nats://${address}` : address,
  );
  const named = bare && (credentials.ca !== undefined || credentials.cert !== undefined);
  const settings = { ...(named ? { servername: originalName } : {}), ...query };
  const text = Object.entries(settings)
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
    .join('&');
  const token = env.NATS_TOKEN ? { token: env.NATS_TOKEN } : {};
  return {
    endpoint,
    options: {
      ...token,
      ...credentials,
      // As the URL's own they would stand in it again; a user alone is a token.
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
    },
    // Of the six, it says nothing that the stage does not know.
    subject: motionStreams.RPI.subjects.includes(path) ? '' : path,
    urlOf: (subject) => `${scheme}://${host}/${subject}${text === '' ? '' : `?${text}`}`,
  };
}

function addressOf({ NATS_ADDRESS }: StageOptions['env']): string {
  if (NATS_ADDRESS) return NATS_ADDRESS;
  throw new AiotError('AIOT_USAGE', 'expected the NATS server of the motion system, got none', {
    next: 'Set NATS_ADDRESS (and NATS_TOKEN) as for the original, or name it: --out nats://HOST:4222',
  });
}
