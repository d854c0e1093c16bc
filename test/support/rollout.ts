import type { RegistryClient } from '../../src/lib/api/client.js';
import type { Deployed } from '../../src/lib/api/rollouts/deploy.js';
import type { RolloutKind, RolloutRequest } from '../../src/lib/api/rollouts/schema.js';

interface OneWave {
  name: string;
  version: number;
  sequence: number;
  kind?: RolloutKind;
  selector?: string;
  deadlineMs?: number;
}

/** The settings of a single-wave rollout that continues despite failures. */
export function oneWave({
  kind = 'model',
  name,
  version,
  sequence,
  selector = 'all',
  deadlineMs,
}: OneWave): RolloutRequest {
  const policy = { maxFailures: '100%', minSuccess: 0, ...(deadlineMs === undefined ? {} : { deadlineMs }) };
  return { releases: [{ kind, name, version, sequence }], selector, policy };
}

/** Returns the current state of a rollout, with its devices by name. */
export async function rolloutNow(client: RegistryClient, id: string): Promise<Deployed> {
  return { ...(await client.rollouts.get(id)), devices: await client.rollouts.devices(id) };
}

/** Waits for the end of a rollout, and returns its final state. */
export async function rolloutEnd(client: RegistryClient, id: string): Promise<Deployed> {
  for await (const _ of client.rollouts.watch(id));
  return rolloutNow(client, id);
}
