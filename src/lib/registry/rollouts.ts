import { AiotError, type Clock, systemClock } from '../core/index.js';
import { listSchemas, type Rollout, type RolloutRequest, rolloutSchema } from './api.js';
import { errorOfTransport } from './errors.js';
import { everyPage } from './page.js';
import { eventData } from './sse.js';
import type { Transport } from './transport.js';

export interface WatchOptions {
  signal?: AbortSignal;
  /** Connections that may break, one after the other, before it gives up. */
  retries?: number;
  clock?: Clock;
}

export function rolloutCalls(transport: Transport) {
  const path = (id: string) => `/rollouts/${encodeURIComponent(id)}`;
  return {
    /** Sends the version to all devices that match. @throws AIOT_ROLLOUT_EMPTY, AIOT_SELECTOR_INVALID */
    start: (request: RolloutRequest): Promise<Rollout> =>
      transport.json('POST', '/rollouts', rolloutSchema, request),
    list: async (): Promise<Rollout[]> =>
      everyPage(async (query) => {
        const { rollouts: entries, next } = await transport.json(
          'GET',
          `/rollouts?${query}`,
          listSchemas.rollouts,
        );
        return { entries, next };
      }),
    get: (id: string): Promise<Rollout> => transport.json('GET', path(id), rolloutSchema),
    /** The rollout as it is, and again at each change until it ends. A broken connection is taken up again. */
    watch: (id: string, options: WatchOptions = {}) => watch(transport, `${path(id)}/events`, options),
  };
}

async function* watch(transport: Transport, path: string, options: WatchOptions): AsyncGenerator<Rollout> {
  const { signal, retries = 5, clock = systemClock } = options;
  for (let broken = 0; ; broken++) {
    try {
      const answer = await transport.call('GET', path, {
        headers: { accept: 'text/event-stream' },
        bodyTimeoutMs: 60_000,
        ...(signal ? { signal } : {}),
      });
      for await (const data of eventData(answer.body)) {
        const rollout = rolloutSchema.parse(JSON.parse(data));
        broken = 0;
        yield rollout;
        if (rollout.state !== 'running') return;
      }
      throw new AiotError('AIOT_PLATFORM_UNREACHABLE', 'the events of the rollout ended early', {
        endpoint: transport.url,
        retryable: true,
      });
    } catch (error) {
      signal?.throwIfAborted();
      const told = errorOfTransport(error, transport.url);
      if (!told.retryable || broken >= retries) throw told;
      await clock.sleep(500 * (broken + 1), signal);
    }
  }
}
