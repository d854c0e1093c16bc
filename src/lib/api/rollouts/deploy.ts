import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import type { RegistryClient } from '../client.js';
import { type OfflineDevices, offlineDevices } from './offline.js';
import {
  type Release,
  type Rollout,
  type RolloutNews,
  rolloutDeviceSchema,
  rolloutHasEnded,
  rolloutSchema,
} from './schema.js';

/** A rollout that has ended, or was stopped, with its devices. */
export const deployedSchema = rolloutSchema.extend({ devices: z.array(rolloutDeviceSchema) });
export type Deployed = z.output<typeof deployedSchema>;

export interface FollowRolloutOptions {
  client: RegistryClient;
  signal?: AbortSignal;
  /** Called when the rollout has started. From then on, the rollout continues on the platform even if this process ends. */
  onStarted?: (rollout: Rollout) => void;
  onProgress?: (news: RolloutNews) => void;
  /** Called once if offline devices have not started. The rollout waits for them until their deadline. */
  onOffline?: (devices: OfflineDevices, rollout: Rollout) => void;
}

export interface DeployOptions extends FollowRolloutOptions {
  release: Release;
  selector: string;
  /** Time after which a device that has not finished counts as failed, ms. */
  deadlineMs?: number | undefined;
}

/**
 * Runs a rollout in a single wave without failure limits, and waits for it.
 * @throws AIOT_NOT_FOUND, AIOT_ROLLOUT_EMPTY, AIOT_SELECTOR_INVALID, AIOT_INTERRUPTED
 */
export async function deploy(options: DeployOptions): Promise<Deployed> {
  const { client, release, selector, deadlineMs, signal } = options;
  signal?.throwIfAborted();
  const policy = { maxFailures: '100%', minSuccess: 0, ...(deadlineMs === undefined ? {} : { deadlineMs }) };
  const rollout = await client.rollouts.start({ releases: [release], selector, policy, rollback: null });
  const last = await followRollout(rollout, options);
  return { ...last, devices: await client.rollouts.devices(last.id) };
}

/** Waits until a rollout has ended, or was paused by a user or a limit. @throws AIOT_INTERRUPTED */
export async function followRollout(rollout: Rollout, options: FollowRolloutOptions): Promise<Rollout> {
  const { signal } = options;
  options.onStarted?.(rollout);
  try {
    return await follow(rollout, options);
  } catch (error) {
    if (!signal?.aborted) throw error;
    throw new AiotError('AIOT_INTERRUPTED', `the rollout ${rollout.id} continues on the platform`, {
      next: `To follow it again, run \`aiot rollout watch ${rollout.id}\`.`,
      cause: error,
    });
  }
}

async function follow(started: Rollout, options: FollowRolloutOptions): Promise<Rollout> {
  const { client, signal, onProgress } = options;
  await reportOffline(started, options);
  let last = started;
  for await (const news of client.rollouts.watch(started.id, signal ? { signal } : {})) {
    last = news.rollout;
    onProgress?.(news);
    if (standsStill(last)) break;
  }
  return last;
}

/** Calls `onOffline`, if given, with the devices that are offline. */
export async function reportOffline(
  rollout: Rollout,
  { client, onOffline }: Pick<FollowRolloutOptions, 'client' | 'onOffline'>,
): Promise<void> {
  const offline = onOffline && (await offlineDevices(client, rollout));
  if (offline) onOffline(offline, rollout);
}

function standsStill(rollout: Rollout): boolean {
  const { state, waves } = rollout;
  return rolloutHasEnded(rollout) || (state === 'paused' && waves.every(({ updating }) => updating === 0));
}

/** Exit code of a rollout: 0 if all devices committed, 3 if some did, 1 if none did, 6 if the rollout was stopped. */
export function rolloutExit({ state }: Pick<Rollout, 'state'>): 0 | 1 | 3 | 6 {
  if (state === 'done') return 0;
  if (state === 'partly') return 3;
  if (state === 'failed') return 1;
  return 6;
}
