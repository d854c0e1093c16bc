import type { z } from 'zod';
import { operatorKey } from '../../provision/index.js';
import {
  contextFor,
  followRollout,
  type noRolloutSchema,
  type Rollout,
  type RolloutPolicyInput,
  readPlan,
  rolloutRequest,
  startedIfAny,
  withClient,
} from '../../registry/index.js';
import type { RolloutProgress, Watched } from '../progress.js';

/** What whoever waits for a rollout is told. */
interface WatchedRollout extends Watched<RolloutProgress> {
  /** Devices that have not begun and are not online: it waits for them until its deadline. Told once. */
  onOffline?: ((names: string[]) => void) | undefined;
}

/** What a rollout puts on devices, and how. */
export interface RolloutOptions extends WatchedRollout {
  /** NAME@VERSION, NAME@latest, NAME@production or NAME, of each kind; one at least, or `plan`. */
  model?: string | undefined;
  firmware?: string | undefined;
  configuration?: string | undefined;
  /** Devices that it matches, such as `type=esp32 and site=lab`; `all`. */
  selector?: string | undefined;
  /** Version of the model (else of the last kind named) to go back to. */
  rollbackTo?: string | undefined;
  /** Waves, limits, times (ms); what is left out has the defaults of the platform. */
  policy?: RolloutPolicyInput | undefined;
  /** A file of `aiot ota plan`, instead of all these. */
  plan?: string | undefined;
  /** Where no device matches, return `{ skipped }` and throw nothing. */
  ifAny?: boolean | undefined;
  /** Wait until it has ended or was stopped. */
  wait?: boolean | undefined;
  /** Platform; default: the one in use. */
  context?: string | undefined;
}

export type RolloutStarted = Rollout | z.output<typeof noRolloutSchema>;

/**
 * Starts a rollout, and waits for it where `wait` says so. How it went is its `state`, and no error.
 * @throws AIOT_CONTEXT_NOT_FOUND, AIOT_PLATFORM_UNREACHABLE, AIOT_NOT_FOUND, AIOT_ROLLOUT_EMPTY, AIOT_SELECTOR_INVALID,
 * AIOT_MODEL_UNFIT, AIOT_KEY_NOT_FOUND, AIOT_USAGE; AIOT_INTERRUPTED while waiting: it goes on at the platform
 */
export async function startRollout(options: RolloutOptions): Promise<RolloutStarted> {
  const { plan, policy = {}, ifAny = false, wait = false, context, ...watched } = options;
  const { name } = await contextFor(context);
  return await withClient(name, async (client) => {
    const signing = { now: Date.now(), signingKey: () => operatorKey(name) };
    const asked =
      plan === undefined
        ? await rolloutRequest({ ...options, ...signing, client, policy })
        : (await readPlan(plan)).request;
    const started = await startedIfAny(client.rollouts, asked, ifAny);
    if ('skipped' in started || !wait) return started;
    return await followRollout(started, { client, ...followed(watched) });
  });
}

/**
 * Follows a rollout until it has ended or was stopped, also over a restart of the platform.
 * @throws AIOT_CONTEXT_NOT_FOUND, AIOT_PLATFORM_UNREACHABLE, AIOT_NOT_FOUND, AIOT_INTERRUPTED
 */
export async function watchRollout(
  id: string,
  { context, ...watched }: WatchedRollout & { context?: string | undefined } = {},
): Promise<Rollout> {
  return await withClient(context, async (client) =>
    followRollout(await client.rollouts.get(id), { client, ...followed(watched) }),
  );
}

function followed({ onProgress, onOffline, signal }: WatchedRollout) {
  const told = ({ rollout }: { rollout: Rollout }) => onProgress?.(progressOf(rollout));
  return { onProgress: told, ...(onOffline ? { onOffline } : {}), ...(signal ? { signal } : {}) };
}

function progressOf(rollout: Rollout): RolloutProgress {
  const { state, waves } = rollout;
  const sum = (what: 'committed' | 'devices') => waves.reduce((all, wave) => all + wave[what], 0);
  const open = waves.findLastIndex((wave) => wave.state !== 'waiting') + 1;
  const step = `${state}, wave ${open} of ${waves.length}`;
  return { task: 'rollout', step, done: sum('committed'), total: sum('devices'), unit: 'devices', rollout };
}
