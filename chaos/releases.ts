import { setTimeout as delay } from 'node:timers/promises';
import type { RolloutStatus } from '../src/lib/api/rollouts/schema.js';
import type { AiotError } from '../src/lib/core/errors.js';
import type { Operated } from '../test/platform/kills/harness.js';
import { pushTiny } from '../test/support/bundle.js';
import type { Report } from './types.js';

/** Time limit for a rollout to a few online devices once all faults are over, ms. */
const endMs = 60_000;
/** Time limit for one device of a rollout to a few devices, ms. */
const deadlineMs = 45_000;
/** Time that each device of a large fleet adds to both limits, ms: on two cores, all processes of a round share the time. */
const eachMs = 90;
/** Errors that leave open whether a request was carried out, so the result is looked up. */
const unsure = new Set([
  'AIOT_PLATFORM_UNREACHABLE',
  'AIOT_DATABASE_UNREACHABLE',
  'AIOT_DISK_FULL',
  'AIOT_FILE_NOT_WRITABLE',
  'AIOT_TIMED_OUT',
]);

/** An acknowledged rollout. */
export interface Started {
  id: string;
  version: number;
  selector: string;
}

/** Repeats a request until it gets a response. An error other than a connection failure is a violation. */
export async function insist<T>(
  what: string,
  ask: () => Promise<T>,
  report: Report,
  forMs = endMs,
): Promise<T> {
  for (const until = Date.now() + forMs; ; await delay(100)) {
    try {
      return await ask();
    } catch (error) {
      const { code, message } = error as AiotError;
      if (!unsure.has(code)) report('answers', `${what}: ${code ?? 'no code'}: ${message}`);
      if (Date.now() > until || !unsure.has(code)) throw error;
    }
  }
}

/** Pushes another model and rolls it out. The request is sent only once, because a repeated request would start a second rollout. */
export async function rollOut(
  platform: Operated,
  selector: string,
  waves: (number | string)[],
  seed: number,
  report: Report,
  devices = 0,
): Promise<Started> {
  const { client, key } = platform;
  const { version, sequence } = await insist('push', () => pushTiny(client, key, { seed }), report);
  const releases = [{ kind: 'model' as const, name: 'tiny', version, sequence }];
  const policy = { waves, maxFailures: 0, deadlineMs: deadlineMs + devices * eachMs } as const;
  const id = await insist(
    'start a rollout',
    async () => {
      // The response to the first request may have been lost.
      const [there] = (await client.rollouts.list()).filter(
        ({ selector: theirs, releases: [first] }) =>
          theirs === selector && first?.kind !== 'settings' && first?.version === version,
      );
      return there?.id ?? (await client.rollouts.start({ releases, selector, policy })).id;
    },
    report,
  );
  return { id, version, selector };
}

/** Waits until the rollout has ended or been paused. Reports lost progress, because a rollout must continue and never start over. */
export async function settled(
  { client }: Operated,
  { id }: Started,
  report: Report,
  devices = 0,
): Promise<RolloutStatus> {
  let shown = 0;
  const look = async () => {
    const status = await insist('look at a rollout', () => client.rollouts.get(id), report);
    const committed = committedIn(status);
    if (committed < shown)
      report('rollouts continue', `${id} had ${shown} committed devices, and has ${committed}`);
    shown = Math.max(shown, committed);
    return status;
  };
  let now = await look();
  const goesOn = () => now.state === 'running' || now.state === 'scheduled';
  for (
    const until = Date.now() + endMs + devices * eachMs;
    goesOn() && Date.now() < until;
    now = await look()
  )
    await delay(100);
  return now;
}

export function committedIn({ waves }: Pick<RolloutStatus, 'waves'>): number {
  return waves.reduce((sum, { committed }) => sum + committed, 0);
}

/**
 * Rolls out to devices that accept everything, and reports a rollout that does not complete on all of them.
 * @param devices number of devices, if there are many
 */
export async function rollOutToAll(
  platform: Operated,
  selector: string,
  seed: number,
  report: Report,
  devices = 0,
): Promise<Started> {
  const one = await rollOut(platform, selector, [1, '50%'], seed, report, devices);
  const { state, reason, waves } = await settled(platform, one, report, devices);
  if (state === 'done') return one;
  const all = await platform.client.rollouts.devices(one.id);
  const failed = all.filter(({ error }) => error !== null);
  const said = JSON.stringify({ reason, failed, waves });
  report('rollouts complete', `the rollout of version ${one.version} is ${state}: ${said.slice(0, 1200)}`);
  return one;
}

/** Aborts a paused rollout. */
export async function giveUp({ client }: Operated, { id }: Started, report: Report): Promise<void> {
  const abort = async () => {
    // The response to the first request may have been lost.
    if ((await client.rollouts.get(id)).state === 'paused') await client.rollouts.command(id, 'abort');
  };
  await insist('end a rollout', abort, report);
}
