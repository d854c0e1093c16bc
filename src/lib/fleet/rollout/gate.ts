import { shareOf } from '../../api/rollouts/amount.js';
import type { RolloutReason } from '../../api/rollouts/schema.js';
import { excessCrashes, hasRunEnough } from './crash-free.js';
import type { Draft } from './draft.js';
import { judgeShadow, passShadow } from './shadow.js';
import type { RolloutDevice, RolloutWave } from './types.js';
import { failures, harmed, isEnd, underWay, unended } from './waves.js';

/** How long after the soak an offline device counts as silent, ms; longer than a reconnection takes. */
const awayMs = 120_000;

/** Stops the rollout if an open wave exceeds its failure limit, or the updated devices crash too often. */
export function checkFailures(draft: Draft): void {
  const { head } = draft;
  if (head.state !== 'running') return;
  for (let i = 0; i <= head.wave; i++) {
    const wave = draft.wave(i);
    const allowed = Math.floor(shareOf(head.policy.maxFailures, wave.devices));
    if (harmed(head, wave) - wave.forgiven > allowed) {
      const limit =
        allowed === 0 ? 'no failures are allowed in a wave of this size' : `the limit is ${allowed}`;
      stop(draft, i, 'AIOT_ROLLOUT_FAILURES', `${harmText(draft, i)}; ${limit}`);
      return;
    }
  }
  const excess = excessCrashes(draft);
  if (excess !== null) stop(draft, head.wave, 'AIOT_ROLLOUT_CRASHES', excess);
}

function harmText({ head }: Draft, index: number): string {
  const wave = head.waves[index]!;
  const failed = failures(wave);
  const crashed = harmed(head, wave) - failed;
  const of = `of ${wave.devices} devices of wave ${index + 1}`;
  if (crashed === 0) return `${failed} ${of} failed`;
  return failed === 0
    ? `${crashed} ${of} crashed after the update`
    : `${failed + crashed} ${of} failed (${failed}), or crashed after the update (${crashed})`;
}

/**
 * Whether the wave has progressed far enough for the next wave: no device is still updating, and enough have committed.
 */
export function hasSettled(draft: Draft, index: number): boolean {
  const wave = draft.wave(index);
  if (wave.counts.pending > 0 || underWay(wave) > 0) return false;
  if (unended(wave) === 0) return true;
  if (!hasSucceeded(draft, wave)) return false;
  // Offline devices do not block the wave; they get the release when they connect.
  const { world } = draft;
  const awaited = world.returning === true && wave.settled === null;
  for (const device of draft.devicesOf(index, ({ offered }) => offered)) {
    if (device.state === 'offered' && (awaited || world.online(device.name))) return false;
  }
  return true;
}

/** Opens a wave if the candidate's shadow passed, or stops the rollout if it failed. Returns whether the wave is open. */
export function checkShadow(draft: Draft, index: number): boolean {
  // Devices that already run the release have nothing to measure.
  const verdict = unended(draft.wave(index)) === 0 ? 'passed' : judgeShadow(draft, index);
  if (verdict === 'passed') passShadow(draft, index);
  else if (verdict) stop(draft, index, 'AIOT_ROLLOUT_SHADOW', `wave ${index + 1}: ${verdict.stop}`);
  return verdict === 'passed';
}

function hasSucceeded({ head }: Draft, wave: RolloutWave): boolean {
  const { committed, withdrawn } = wave.counts;
  // Withdrawn devices do not count.
  return wave.waived || committed >= shareOf(head.policy.minSuccess, wave.devices - withdrawn);
}

/** Called at the end of a wave's soak. Returns whether the next wave may open. */
export function passes(draft: Draft, index: number): boolean {
  return staysHealthy(draft, index) && (draft.wave(index).waived || hasRunEnough(draft));
}

function staysHealthy(draft: Draft, index: number): boolean {
  const { head } = draft;
  const wave = draft.wave(index);
  if (!hasSucceeded(draft, wave)) {
    const got = `${wave.counts.committed} of ${wave.devices} devices of wave ${index + 1} committed`;
    stop(draft, index, 'AIOT_ROLLOUT_SUCCESS', `${got}; expected at least ${head.policy.minSuccess}`);
    return false;
  }
  if (head.policy.soakMs === 0) return true;
  const silent = markHealthy(draft, index);
  if (silent > 0 && draft.world.returning) return false;
  const allowed = Math.floor(shareOf(head.policy.maxFailures, wave.devices)) + wave.forgiven;
  if (wave.waived || harmed(head, wave) + silent <= allowed) return true;
  // Connections drop and recover, so a device counts as silent only if it remains offline.
  if (draft.at < (wave.settled ?? draft.at) + head.policy.soakMs + awayMs) return false;
  const told = `${silent} of ${wave.devices} devices of wave ${index + 1} committed, but are offline now`;
  stop(draft, index, 'AIOT_ROLLOUT_SILENT', told);
  return false;
}

/**
 * Marks the committed devices that are online as healthy. Returns how many committed devices have been offline since
 * the soak ended.
 */
function markHealthy(draft: Draft, index: number): number {
  let silent = 0;
  for (const device of draft.devicesOf(index)) {
    if (device.state !== 'committed' || device.times.healthy !== undefined) continue;
    if (draft.world.online(device.name))
      draft.change(device, { times: { ...device.times, healthy: draft.at } });
    else silent++;
  }
  return silent;
}

function stop(draft: Draft, index: number, code: string, message: string): void {
  const { head } = draft;
  const wave = draft.wave(index);
  wave.state = 'stopped';
  wave.settled = null;
  const reason = { code, message };
  if (head.policy.onFailure === 'rollback') {
    rollBack(draft, reason);
  } else {
    head.state = 'paused';
    head.reason = reason;
    recall(draft, 'pending');
  }
}

/**
 * Recalls the desired release from all unfinished devices. Devices that have not started change to the state `to`
 * immediately.
 */
export function recall(draft: Draft, to: 'pending' | 'withdrawn'): void {
  for (const device of draft.devicesUpTo(draft.head.waves.length - 1)) recallOne(draft, device, to);
}

function recallOne(draft: Draft, device: RolloutDevice, to: 'pending' | 'withdrawn'): void {
  switch (device.state) {
    case 'offered':
      draft.withdraw(device);
      draft.change(device, { state: to, attempts: device.attempts - 1, retryAt: null });
      return;
    case 'updating':
      draft.withdraw(device);
      draft.change(device, { state: 'recalled' });
      return;
    case 'shadowing':
      // The device runs the candidate only as a shadow, and keeps its current release.
      draft.withdraw(device);
      draft.change(device, { state: to, attempts: Math.max(0, device.attempts - 1), retryAt: null });
      return;
    case 'pending':
      if (to === 'withdrawn') draft.change(device, { state: to });
      return;
  }
}

/** Rolls back: no further devices start, and all committed devices return to the previous release. */
export function rollBack(draft: Draft, reason: RolloutReason | null): void {
  const { head } = draft;
  recall(draft, 'withdrawn');
  head.reason = reason;
  head.state = head.rollback === null ? 'aborting' : 'rollingBack';
}

/** Rolls back all devices that run the release, including those that committed after the recall or whose commit did not count. */
export function restore(draft: Draft): void {
  const { rollback } = draft.head;
  for (const device of draft.devicesUpTo(draft.head.waves.length - 1, ({ runs }) => runs)) {
    const runs = device.state === 'committed' || (device.holds && isEnd(device.state));
    // A device that ran the release before the rollout started keeps it.
    if (runs && device.offer > 0) draft.offer(device, rollback!, 'restoring');
  }
}
