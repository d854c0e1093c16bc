import { z } from 'zod';
import { AiotError, hasCode } from '../../core/index.js';
import type { CheckResult } from '../admin.js';
import { credentialNames } from '../credentials/endpoint.js';
import { withKeptCredentials } from '../credentials/index.js';
import { openAdmin } from '../open.js';
import type { StreamOptions } from '../options.js';
import { parseStreamUrl } from '../url.js';
import { accepts, encrypts, type Place, resolves } from './network.js';

export const checkedSchema = z.object({
  endpoint: z.string(),
  /** Nothing failed. What a broker merely has not, is no failure. */
  ok: z.boolean(),
  results: z.array(
    z.object({
      what: z.string(),
      state: z.enum(['ok', 'no', 'failed', 'skipped']),
      detail: z.string(),
    }),
  ),
});
export type Checked = z.output<typeof checkedSchema>;

/** Schemes that begin with TLS on the port itself. NATS begins plain, and its adapter tells how it goes on. */
const tlsFirst = new Set(['https', 'kafkas', 'mqtts', 'rediss', 'wss']);

/**
 * Tries a far side in the order in which a connection comes about — name, port, TLS, being let in — and then what it can do. Where
 * one step fails the later ones are not tried. @throws AIOT_STREAM_URL, AIOT_STREAM_SCHEME (nothing there to ask)
 */
export async function checkEndpoint(url: string, options: StreamOptions = {}): Promise<Checked> {
  const parts = parseStreamUrl(url);
  const places = placesOf(credentialNames(parts));
  const credentials = await withKeptCredentials(parts, options);
  const results: CheckResult[] = [];
  const timeoutMs = options.connectTimeoutMs ?? 10_000;
  const failed = () => results.some(({ state }) => state === 'failed');
  for (const place of parts.scheme === 'aiot' ? [] : places) {
    const steps = [
      () => resolves(place),
      () => accepts(place, timeoutMs),
      ...(tlsFirst.has(parts.scheme) ? [() => encrypts(place, credentials, timeoutMs)] : []),
    ];
    for (const step of steps) {
      options.signal?.throwIfAborted();
      const result = await step();
      results.push(result);
      if (result.state === 'failed') break;
    }
  }
  if (failed()) results.push({ what: 'broker', state: 'skipped', detail: 'not reached' });
  else results.push(...(await asked(url, options, results.length > 0)));
  return { endpoint: parts.endpoint, ok: !failed(), results };
}

/** What the broker itself says; why it does not let us in, where it does not. */
async function asked(url: string, options: StreamOptions, reached: boolean): Promise<CheckResult[]> {
  try {
    const admin = await openAdmin(url, options);
    try {
      return await admin.check(options.signal ? { signal: options.signal } : {});
    } finally {
      await admin.close();
    }
  } catch (error) {
    if (!(error instanceof AiotError) || error.exit === 130) throw error;
    if (hasCode(error, 'AIOT_STREAM_SCHEME') && reached) {
      return [{ what: 'broker', state: 'skipped', detail: 'nothing more to ask it' }];
    }
    if (error.exit === 2) throw error;
    return [{ what: 'broker', state: 'failed', detail: `${error.message}. ${error.next}` }];
  }
}

/** `mqtt://host:1883` → host and port; a bucket or a name without a port has none to try. */
function placesOf(names: string[]): Place[] {
  return names.flatMap((name) => {
    const [, bracketed, plain, port] = /^[a-z0-9+.-]+:\/\/(?:\[(.+)\]|([^:]+)):(\d+)$/.exec(name) ?? [];
    const host = bracketed ?? plain;
    return host === undefined ? [] : [{ host, port: Number(port) }];
  });
}
