import { AiotError, systemCode } from '../../core/errors.js';
import { httpAgent } from '../../core/http-agent.js';
import { type Clock, systemClock } from '../../core/time.js';
import type { DeviceIdentity } from '../identity/identity.js';
import type { BundleSource, UpdateCheck } from '../update/types.js';
import type { TrustSource } from './trust.js';

/** Maximum size of a manifest, root or timestamp, bytes. */
const manifestBytes = 64 * 1024;

/** Maximum pause in the platform's response, ms. */
const silenceMs = 20_000;

/** Maximum time from the first byte of a manifest, root or timestamp to its last one, ms. */
const documentMs = 60_000;

/**
 * Credentials: the device's own certificate or, if many devices are simulated at once, the token of the user who simulates them.
 */
type Identity =
  | DeviceIdentity
  | { urls: Pick<DeviceIdentity['urls'], 'http'>; ca: string | undefined; token: string | undefined };

/** Fetches manifests and bundles over HTTPS with the device's certificate. Nothing is sent before the first request. */
export function createHttpSource(
  identity: Identity,
  unchecked?: ReadonlySet<UpdateCheck>,
  clock: Clock = systemClock,
): BundleSource & TrustSource & { close(): Promise<void> } {
  const origin = identity.urls.http;
  let agent: Promise<import('undici').Agent> | undefined;
  const connect = () => {
    return httpAgent({
      connect: {
        ...(identity.ca === undefined ? {} : { ca: identity.ca }),
        ...('key' in identity ? { cert: identity.certificate, key: identity.key } : {}),
      },
      headersTimeout: silenceMs,
      bodyTimeout: silenceMs,
    });
  };

  const get = async (path: string, headers: Record<string, string>, signal: AbortSignal) => {
    const url = new URL(path, origin);
    // `//elsewhere/x` looks like a path, but is the address of another host. A device must contact only its own platform.
    if (url.origin !== new URL(origin).origin && !unchecked?.has('origin')) {
      throw new AiotError('AIOT_UPDATE_DOWNLOAD', `expected a path on ${origin}, got ${path}`);
    }
    const { request } = await import('undici');
    agent ??= connect().catch((error: unknown) => {
      agent = undefined;
      throw error;
    });
    const token = 'token' in identity ? identity.token : undefined;
    const shown = token === undefined ? headers : { ...headers, authorization: `Bearer ${token}` };
    const reply = await request(url, { dispatcher: await agent, headers: shown, signal });
    if (reply.statusCode === 200 || reply.statusCode === 206) return reply;
    await reply.body.dump().catch(() => {});
    if (reply.statusCode === 404)
      throw new NotThere(`${origin}${path}: expected status 200, got 404`, origin);
    throw new AiotError(
      'AIOT_UPDATE_DOWNLOAD',
      `${origin}${path}: expected status 200, got ${reply.statusCode}`,
      {
        endpoint: origin,
        retryable: reply.statusCode >= 500 || reply.statusCode === 429,
      },
    );
  };

  const document = (path: string, what: string, signal: AbortSignal) =>
    coded(origin, path, signal, async () => {
      const { body } = await get(path, { accept: 'application/json' }, signal);
      const chunks: Buffer[] = [];
      let size = 0;
      const time = () => clock.monotonic?.() ?? clock.now();
      const began = time();
      for await (const chunk of body) {
        if (time() - began >= documentMs)
          throw new AiotError(
            'AIOT_UPDATE_DOWNLOAD',
            `${origin}${path}: expected the whole ${what} within ${documentMs / 1000} s`,
          );
        size += chunk.length;
        if (size > manifestBytes && !unchecked?.has('length'))
          throw new AiotError(
            'AIOT_MANIFEST_MALFORMED',
            `expected at most ${manifestBytes} bytes of ${what}`,
          );
        chunks.push(chunk);
      }
      return parse(Buffer.concat(chunks), what);
    });

  return {
    manifest: (path, signal) => document(path, 'manifest', signal),
    root: (version, signal) => unlessMissing(document(`/api/v1/trust/root/${version}`, 'root', signal)),
    timestamp: (signal) => unlessMissing(document('/api/v1/trust/timestamp', 'timestamp', signal)),
    async *blob(digest, from, signal) {
      const path = `/api/v1/blobs/${digest}`;
      const headers: Record<string, string> = from > 0 ? { range: `bytes=${from}-` } : {};
      try {
        const { statusCode, headers: got, body } = await get(path, headers, signal);
        let skip = statusCode === 206 ? checkRange(got['content-range'], from) : from;
        for await (const chunk of body as AsyncIterable<Buffer>) {
          if (skip < chunk.length) yield chunk.subarray(skip);
          skip = Math.max(0, skip - chunk.length);
        }
      } catch (error) {
        throw codedError(error, origin, path, signal);
      }
    },
    async close() {
      await (await agent)?.destroy();
    },
  };
}

/**
 * Number of received bytes to skip because they precede `from`. A server may start before the requested offset, but not
 * after it.
 */
function checkRange(header: string | string[] | undefined, from: number): number {
  const start = Number(/^bytes (\d+)-/.exec(String(header))?.[1] ?? Number.NaN);
  if (start <= from) return from - start;
  throw new AiotError('AIOT_UPDATE_DOWNLOAD', `expected bytes from ${from} on, got "${header}"`);
}

/**
 * Thrown if the platform does not have a document. This is a separate class, because older platforms lack some
 * documents.
 */
class NotThere extends AiotError {
  constructor(message: string, endpoint: string) {
    super('AIOT_UPDATE_DOWNLOAD', message, { endpoint });
  }
}

async function unlessMissing(asked: Promise<unknown>): Promise<unknown | null> {
  return asked.catch((error: unknown) => {
    if (error instanceof NotThere) return null;
    throw error;
  });
}

function parse(bytes: Buffer, what: string): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw new AiotError('AIOT_MANIFEST_MALFORMED', `the ${what} envelope is not JSON`, { cause: error });
  }
}

async function coded<T>(
  origin: string,
  path: string,
  signal: AbortSignal,
  run: () => Promise<T>,
): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw codedError(error, origin, path, signal);
  }
}

/** Converts a connection error to a retryable error with a code, because the cause may be temporary. */
function codedError(error: unknown, origin: string, path: string, signal: AbortSignal): unknown {
  if (error instanceof AiotError || signal.aborted) return error;
  const reason = systemCode(error) ?? (error instanceof Error ? error.message : String(error));
  return new AiotError('AIOT_UPDATE_DOWNLOAD', `${origin}${path}: ${reason}`, {
    cause: error,
    endpoint: origin,
    retryable: true,
  });
}
