import { shareOf } from '../../api/rollouts/amount.js';
import type { CrashFreePolicy } from '../../api/rollouts/schema.js';
import type { Draft } from './draft.js';
import type { CrashFigures, RolloutDevice, RolloutEvent } from './types.js';

const hourMs = 3_600_000;
/** How often the devices' hours are counted, ms. */
const countEveryMs = 60_000;
/** Longest time that one count adds for a device, ms. After a longer stop of the platform, the devices' connections in the meantime are unknown. */
const longestCountMs = hourMs;
/** Maximum number of crashed hours that count for one device. A device that crashes every hour has long failed by then. */
const mostHours = 1000;
const mostCauses = 20;

const noCrashes: CrashFigures = { at: 0, deviceMs: 0, crashed: 0, forgiven: 0, causes: [] };

/** Counts the hour of a crash, once for each device and hour. The device has committed the release. */
export function countCrash(
  draft: Draft,
  device: RolloutDevice,
  { t, cause }: Extract<RolloutEvent, { type: 'crashed' }>,
): void {
  const { head, at } = draft;
  const { committed } = device.times;
  if (!head.policy.crashFree || committed === undefined) return;
  const latest = hoursBetween(committed, at);
  const hour = t === null ? latest : Math.min(latest, hoursBetween(device.committedT ?? committed, t));
  const { crashHours = [] } = device;
  if (crashHours.includes(hour) || crashHours.length >= mostHours) return;
  draft.change(device, { crashHours: [...crashHours, hour] });
  const { crashed, causes, ...before } = head.crashes ?? noCrashes;
  head.crashes = { ...before, crashed: crashed + 1, causes: cause ? withCause(causes, cause) : causes };
}

function hoursBetween(from: number, to: number): number {
  return Math.max(0, Math.floor((to - from) / hourMs));
}

function withCause(
  causes: CrashFigures['causes'],
  { signature, reason }: { signature: string; reason: string },
): CrashFigures['causes'] {
  if (causes.some((known) => known.signature === signature))
    return causes.map((known) =>
      known.signature === signature ? { ...known, hours: known.hours + 1 } : known,
    );
  return causes.length < mostCauses ? [...causes, { signature, reason, hours: 1 }] : causes;
}

/** The crashes accepted so far no longer stop the rollout. */
export function forgiveCrashes({ head }: Draft): void {
  if (head.crashes) head.crashes = { ...head.crashes, forgiven: head.crashes.crashed };
}

/** Why the rollout must stop because of crashes; null if it need not. */
export function excessCrashes(draft: Draft): string | null {
  const { crashFree } = draft.head.policy;
  if (!crashFree || crashesBeyond(draft, crashFree) <= 0) return null;
  // The hours may have grown since they were last counted.
  countHours(draft);
  if (crashesBeyond(draft, crashFree) <= 0) return null;
  const { crashed, forgiven, causes } = draft.head.crashes!;
  const hours = judgedHours(draft, crashFree);
  const [most] = [...causes].sort((a, b) => b.hours - a.hours);
  const mostly = most ? `; mostly ${most.signature} (${most.reason})` : '';
  const since = forgiven > 0 ? ' since the rollout was continued' : '';
  const count = crashed - forgiven;
  return `${count} device-hour${count === 1 ? '' : 's'} had crashes${since}, but at most ${allowedOf(crashFree, hours)} of ${Math.floor(hours)} may (${crashFree.min} must be free of crashes)${mostly}`;
}

function crashesBeyond(draft: Draft, policy: CrashFreePolicy): number {
  const { crashed, forgiven } = draft.head.crashes ?? noCrashes;
  return crashed - forgiven - allowedOf(policy, judgedHours(draft, policy));
}

/** The rollout cannot continue before the minimum, so earlier crashes are judged as if it were already reached. */
function judgedHours({ head }: Draft, { minHours }: CrashFreePolicy): number {
  return Math.max(minHours, (head.crashes ?? noCrashes).deviceMs / hourMs);
}

function allowedOf({ min }: CrashFreePolicy, hours: number): number {
  // Rounded, so that 99.5% of 200 hours leaves 1 instead of 0.99999.
  return Math.floor(Math.round((hours - shareOf(min as `${number}%`, hours)) * 1e6) / 1e6);
}

/**
 * Whether the updated devices have run long enough for the next wave. If the rollout has updated no device, or none of them still belongs
 * to it, there are no hours to wait for.
 */
export function hasRunEnough(draft: Draft): boolean {
  const { crashFree } = draft.head.policy;
  if (!crashFree || (draft.head.crashes ?? noCrashes).deviceMs >= crashFree.minHours * hourMs) return true;
  return updatedDevices(draft).next().done === true;
}

/** Counts the devices' hours if the last count is older than a minute. Devices that have not committed since have none. */
export function countHoursIfDue(draft: Draft): void {
  const { head, at } = draft;
  if (!head.policy.crashFree || head.waves.every(({ counts }) => counts.committed === 0)) return;
  if (head.crashes === undefined || at >= head.crashes.at + countEveryMs) countHours(draft);
}

/**
 * Adds the time since the last count in which the updated devices ran the release and were connected. Time without a connection never
 * counts, because crashes in it may not be known yet.
 */
function countHours(draft: Draft): void {
  const { head, at, world } = draft;
  const before = head.crashes ?? noCrashes;
  let { deviceMs } = before;
  for (const { name, committed } of updatedDevices(draft)) {
    const from = Math.max(committed, before.at, at - longestCountMs);
    const until = world.online(name) ? at : (world.seen?.(name) ?? from);
    deviceMs += Math.max(0, Math.min(at, until) - from);
  }
  head.crashes = { ...before, at, deviceMs };
}

/** Devices that this rollout has updated and that still run its release, with the time of their commit (ms since 1970). */
function* updatedDevices(draft: Draft): Generator<{ name: string; committed: number }> {
  for (const { name, state, offer, times } of draft.devicesUpTo(draft.head.wave, ({ runs }) => runs)) {
    if (state === 'committed' && offer !== 0 && times.committed !== undefined)
      yield { name, committed: times.committed };
  }
}
