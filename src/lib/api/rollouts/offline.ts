import * as z from 'zod';
import type { RegistryClient } from '../client.js';
import { type Rollout, type RolloutDeviceInfo, rolloutHasEnded } from './schema.js';

/** Devices that a rollout waits for, because they are offline and have not started. */
export const offlineDevicesSchema = z.object({
  /** Names of the devices, sorted. */
  names: z.array(z.string()),
  /** Devices among these that have never connected, sorted; absent = none. */
  never: z.array(z.string()).optional(),
  /** Number of devices in the rollout. */
  of: z.int(),
  /** Index of the last open wave that contains such devices, or else of the first later wave that does. */
  wave: z.int(),
  /**
   * Time until which the open waves wait for these devices, ms since 1970; null = none of these devices has an offer
   * yet.
   */
  until: z.int().nullable(),
});
export type OfflineDevices = z.output<typeof offlineDevicesSchema>;

/** The client calls that find these devices. */
type OfflineClient = {
  devices: Pick<RegistryClient['devices'], 'list'>;
  rollouts: Pick<RegistryClient['rollouts'], 'devices'>;
};

/** Finds the devices that a rollout waits for because they are offline; null if there are none. */
export async function offlineDevices(
  { devices, rollouts }: OfflineClient,
  rollout: Rollout,
): Promise<OfflineDevices | null> {
  const waits = rollout.waves.some(({ pending, offered }) => pending + offered > 0);
  if (!waits || rolloutHasEnded(rollout)) return null;
  const offline = new Map((await devices.list('online=false')).map(({ name, lastSeen }) => [name, lastSeen]));
  if (offline.size === 0) return null;
  const states = ['offered', 'pending'] as const;
  const unstarted = await Promise.all(states.map((state) => rollouts.devices(rollout.id, { state })));
  const [offered = [], pending = []] = unstarted.map((all) => all.filter(({ name }) => offline.has(name)));
  const all = [...offered, ...pending];
  if (all.length === 0) return null;
  const names = all.map(({ name }) => name).sort();
  const never = names.filter((name) => offline.get(name) === null);
  return {
    names,
    ...(never.length > 0 && { never }),
    of: rollout.waves.reduce((sum, wave) => sum + wave.devices, 0),
    wave: offered.length > 0 ? lastWave(offered) : firstWave(pending),
    until: offered.length > 0 ? untilOf(offered, rollout) : null,
  };
}

function lastWave(devices: readonly RolloutDeviceInfo[]): number {
  return devices.reduce((last, { wave }) => Math.max(last, wave), 0);
}

function firstWave(devices: readonly RolloutDeviceInfo[]): number {
  return devices.reduce((first, { wave }) => Math.min(first, wave), Number.MAX_SAFE_INTEGER);
}

function untilOf(offered: readonly RolloutDeviceInfo[], { policy, releases }: Rollout): number {
  const limitMs = offlineLimitMs(policy);
  // If there are several releases, `times` contains the offer for the first release only.
  const offerOf = ({ times, updated }: RolloutDeviceInfo) =>
    releases.length === 1 ? (times.offered ?? updated) : updated;
  return offered.reduce((latest, device) => Math.max(latest, offerOf(device) + limitMs), 0);
}

/** How long the rollout waits for an offline device after its offer, ms. */
export function offlineLimitMs({ deadlineMs, offlineMs }: Rollout['policy']): number {
  return offlineMs ?? deadlineMs;
}
