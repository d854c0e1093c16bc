import { AiotError } from '../../core/errors.js';
import { type Clock, systemClock } from '../../core/time.js';
import { errorOfTransport } from '../errors.js';
import { everyPage } from '../page.js';
import { eventData } from '../sse.js';
import type { Transport } from '../transport.js';
import {
  type Rollout,
  type RolloutCommand,
  type RolloutDeviceInfo,
  type RolloutDeviceState,
  type RolloutNews,
  type RolloutPlan,
  type RolloutRequest,
  type RolloutStatus,
  rolloutDevicesSchema,
  rolloutHasEnded,
  rolloutListSchema,
  rolloutNewsSchema,
  rolloutPlanSchema,
  rolloutSchema,
  rolloutStatusSchema,
} from './schema.js';

export interface WatchOptions {
  signal?: AbortSignal;
  /** Connections that may break, one after the other, before it gives up. */
  retries?: number;
  clock?: Clock;
}

export function rolloutCalls(transport: Transport) {
  const path = (id: string) => `/rollouts/${encodeURIComponent(id)}`;
  return {
    /** @throws AIOT_ROLLOUT_EMPTY, AIOT_SELECTOR_INVALID, AIOT_ROLLOUT_OVERLAP, AIOT_ROLLOUT_PLAN */
    start: (request: RolloutRequest): Promise<Rollout> =>
      transport.json('POST', '/rollouts', rolloutSchema, request),
    /** Who would be in which wave: nothing is begun. */
    plan: (request: RolloutRequest): Promise<RolloutPlan> =>
      transport.json('POST', '/rollouts/plan', rolloutPlanSchema, request),
    /** Newest first. */
    list: async (): Promise<Rollout[]> =>
      everyPage(async (query) => {
        const page = await transport.json('GET', `/rollouts?${query}`, rolloutListSchema);
        return { entries: page.rollouts, next: page.next };
      }),
    get: (id: string): Promise<RolloutStatus> => transport.json('GET', path(id), rolloutStatusSchema),
    /** In the order of their names. */
    devices: async (
      id: string,
      { state, wave }: { state?: RolloutDeviceState; wave?: number } = {},
    ): Promise<RolloutDeviceInfo[]> => {
      const only = `${state === undefined ? '' : `&state=${state}`}${wave === undefined ? '' : `&wave=${wave}`}`;
      return everyPage(async (query) => {
        const place = `${path(id)}/devices?${query}${only}`;
        const page = await transport.json('GET', place, rolloutDevicesSchema);
        return { entries: page.devices, next: page.next };
      });
    },
    /** @throws AIOT_ROLLOUT_STATE, AIOT_ROLLOUT_APPROVER, AIOT_ROLLOUT_NO_WAY_BACK */
    command: (id: string, command: RolloutCommand): Promise<Rollout> =>
      transport.json('POST', `${path(id)}/${command}`, rolloutSchema),
    /** The rollout as it is, and again at each change until it ends. A broken connection is taken up again. */
    watch: (id: string, options: WatchOptions = {}) => watch(transport, `${path(id)}/events`, options),
  };
}

async function* watch(
  transport: Transport,
  path: string,
  options: WatchOptions,
): AsyncGenerator<RolloutNews> {
  const { signal, retries = 5, clock = systemClock } = options;
  for (let broken = 0; ; broken++) {
    try {
      const answer = await transport.call('GET', path, {
        headers: { accept: 'text/event-stream' },
        bodyTimeoutMs: 60_000,
        ...(signal ? { signal } : {}),
      });
      for await (const data of eventData(answer.body)) {
        const news = rolloutNewsSchema.parse(JSON.parse(data));
        broken = 0;
        yield news;
        if (rolloutHasEnded(news.rollout)) return;
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
