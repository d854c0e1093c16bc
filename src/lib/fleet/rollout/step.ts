import type { Release, RolloutCommand, RolloutReason } from '../../api/rollouts/schema.js';
import { commandStates } from '../../api/rollouts/words.js';
import { AiotError } from '../../core/errors.js';
import { windowIsOpen } from '../window.js';
import { countCrash, countHoursIfDue, forgiveCrashes } from './crash-free.js';
import { Draft, parseWish } from './draft.js';
import { checkFailures, checkShadow, hasSettled, passes, recall, restore, rollBack } from './gate.js';
import { applyReport, awaitsProof, fail } from './report.js';
import { beginShadow, isShadowing } from './shadow.js';
import { DeviceTable } from './table.js';
import type { RolloutDevice, RolloutEvent, RolloutState, RolloutStep, World } from './types.js';
import { failures, harmed, isEnd, unended } from './waves.js';

/**
 * Computes a rollout's next step: its new head, the devices that changed, and the desired releases to send. Pure. Reports that are
 * duplicate, late, out of order or from unknown devices change nothing.
 * @throws AIOT_ROLLOUT_STATE, and the other errors of commands that are not possible now
 */
export function rolloutStep(state: RolloutState, events: readonly RolloutEvent[], world: World): RolloutStep {
  const draft = new Draft(state, world);
  countHoursIfDue(draft);
  for (const event of events) {
    apply(draft, event);
    checkFailures(draft);
  }
  goOn(draft);
  return draft.step();
}

export function afterStep(state: RolloutState, { head, changed }: RolloutStep): RolloutState {
  if (changed.length === 0) return { ...state, head };
  return { head, devices: DeviceTable.of(state.devices).with(changed) };
}

function apply(draft: Draft, event: RolloutEvent): void {
  switch (event.type) {
    case 'tick':
      passDeadlines(draft);
      break;
    case 'reported': {
      const device = draft.device(event.device);
      const { rollout } = parseWish(event.report.rollout ?? '');
      if (device && rollout === draft.head.id) applyReport(draft, device, event.report);
      break;
    }
    case 'crashed':
      crash(draft, event);
      break;
    case 'superseded':
    case 'revoked':
      takeOut(draft, event.device, whyOut[event.type]);
      break;
    case 'changed':
      takeOut(draft, event.device, handMade(event));
      break;
    case 'drifted':
      drift(draft, event);
      break;
    default:
      applyCommand(draft, event.type, event.who);
  }
}

/** Counts a device that crashed after it committed the release of this rollout. Later crashes count only in its hours. */
function crash(draft: Draft, event: Extract<RolloutEvent, { type: 'crashed' }>): void {
  const { device: name, t } = event;
  const known = draft.device(name);
  if (known?.state !== 'committed' || known.offer === 0) return;
  // A device sends a crash after its restart, so the crash may be older than the update.
  if (t !== null && t < (known.committedT ?? known.times.committed ?? draft.at)) return;
  countCrash(draft, known, event);
  if (known.times.crashed !== undefined) return;
  const device = draft.device(name)!;
  draft.change(device, { times: { ...device.times, crashed: draft.at } });
  const wave = draft.wave(device.wave);
  wave.crashed = (wave.crashed ?? 0) + 1;
}

/** The device keeps the settings that a user has given it. */
function handMade({ path, who }: Extract<RolloutEvent, { type: 'changed' }>): RolloutReason {
  const message = `${who} changed ${path} after the rollout had started, so the device keeps that value`;
  return { code: 'AIOT_SETTINGS_CHANGED', message };
}

/** Counts a device as failed that no longer uses the settings that it committed, while its wave is still being evaluated. */
function drift(draft: Draft, { device: name, error }: Extract<RolloutEvent, { type: 'drifted' }>): void {
  const device = draft.device(name);
  if (device?.state !== 'committed' || device.offer === 0) return;
  draft.change(device, { state: 'failed', error, holds: true });
}

const whyOut = {
  superseded: { code: 'AIOT_ROLLOUT_SUPERSEDED', message: 'a newer rollout took over the device' },
  revoked: { code: 'AIOT_NOT_ALLOWED', message: 'the device was suspended or revoked' },
  left: {
    code: 'AIOT_NOT_ALLOWED',
    message: 'the user who started the rollout no longer has rights to the device',
  },
};

function takeOut(draft: Draft, name: string, error: RolloutReason): void {
  const device = draft.device(name);
  if (!device || isEnd(device.state)) return;
  // The former settings return before those of another rollout. A release would only be replaced twice.
  if (error.code !== 'AIOT_ROLLOUT_SUPERSEDED' || draft.isOfSettings) draft.withdraw(device);
  draft.change(device, { state: 'withdrawn', error });
}

function passDeadlines(draft: Draft): void {
  const { deadlineMs, offlineMs } = draft.head.policy;
  const first = draft.at - Math.min(deadlineMs, offlineMs ?? deadlineMs);
  // Devices in later waves have no offer yet.
  const late = draft.devicesUpTo(draft.head.wave, ({ asked }) => asked <= first);
  for (const device of late) passDeadline(draft, device);
}

function passDeadline(draft: Draft, device: RolloutDevice): void {
  const { deadlineMs, offlineMs } = draft.head.policy;
  // Devices in a shadow have no deadline of their own, because the shadow ends with its wave.
  if (device.state === 'shadowing' || device.state === 'pending') return;
  if (isEnd(device.state) || device.offered === null) return;
  const waited = draft.at - device.offered;
  const begun = device.state === 'recalled' || (device.step !== null && device.step !== 'IDLE');
  if (!begun && !draft.world.online(device.name)) {
    if (waited < (offlineMs ?? deadlineMs)) return;
    draft.withdraw(device);
    // A device that did not return to the previous release still runs the withdrawn one.
    const state = device.state === 'restoring' ? 'failed' : 'missed';
    draft.change(device, { state, error: deadline('the device did not come online before its deadline') });
  } else if (waited >= deadlineMs) {
    const last = device.step === null ? 'it sent no report' : `its last state was ${device.step}`;
    const error = deadline(`the device had not finished by the deadline; ${last}`);
    if (device.state === 'recalled') draft.change(device, { state: 'failed', error });
    else fail(draft, device, { error });
  }
}

function deadline(message: string): RolloutReason {
  return { code: 'AIOT_ROLLOUT_DEADLINE', message };
}

/** Applies everything that follows from the current state: opening waves, making offers, and ending. */
function goOn(draft: Draft): void {
  const { head } = draft;
  if (head.state === 'scheduled' && draft.at >= (head.policy.startAt ?? 0)) head.state = 'running';
  if (head.state === 'running') moveWaves(draft);
  if (head.state === 'running') offerDue(draft);
  if (head.state === 'rollingBack') {
    restore(draft);
    if (allEnded(draft)) draft.end('rolledBack');
  }
  if (head.state === 'aborting' && allEnded(draft)) draft.end('aborted');
}

function allEnded({ head }: Draft): boolean {
  return head.waves.every((wave) => unended(wave) === 0);
}

function moveWaves(draft: Draft): void {
  const { head } = draft;
  if (head.wave < 0) openNext(draft);
  while (head.state === 'running' && hasPassed(draft)) {
    if (isLast(draft)) {
      finish(draft);
      return;
    }
    openNext(draft);
  }
}

/** Whether the last open wave has settled, stayed healthy long enough, and allows the next one to open. */
function hasPassed(draft: Draft): boolean {
  const { head } = draft;
  const wave = draft.wave(head.wave);
  if (wave.state === 'passed') return true;
  if (isShadowing(wave) && !checkShadow(draft, head.wave)) return false;
  if (!hasSettled(draft, head.wave)) {
    Object.assign(wave, { state: 'open', settled: null });
    return false;
  }
  wave.settled ??= draft.at;
  if (wave.state === 'open') wave.state = 'soaking';
  if (draft.at < wave.settled + head.policy.soakMs || awaitsProof(draft, head.wave)) return false;
  // The last wave is not evaluated here if it needs no soak, because the rollout's final state already includes its result.
  const over = isLast(draft) && unended(wave) === 0 && head.policy.soakMs === 0 && !head.policy.crashFree;
  if (!over && !passes(draft, head.wave)) return false;
  Object.assign(wave, { state: 'passed', ended: draft.at });
  return true;
}

function isLast({ head }: Draft): boolean {
  return head.wave === head.waves.length - 1;
}

function openNext(draft: Draft): void {
  const { head } = draft;
  head.wave++;
  const wave = draft.wave(head.wave);
  Object.assign(wave, { state: 'open', opened: draft.at });
  beginShadow(draft, head.wave);
  offerDue(draft);
}

function finish(draft: Draft): void {
  const { head } = draft;
  if (!allEnded(draft)) return;
  const committed = head.waves.reduce((sum, { counts }) => sum + counts.committed, 0);
  const all = head.waves.reduce((sum, { devices }) => sum + devices, 0);
  draft.end(committed === all ? 'done' : committed === 0 ? 'failed' : 'partly', null);
}

/** The release that a device in this state must run. */
export function releaseOf(head: RolloutState['head'], device: RolloutDevice): Release | null {
  return device.state === 'restoring' ? head.rollback : (head.releases[device.item] ?? null);
}

/** @throws AIOT_ROLLOUT_STATE, AIOT_ROLLOUT_APPROVER, AIOT_ROLLOUT_NO_WAY_BACK */
function applyCommand(draft: Draft, command: RolloutCommand, who: string): void {
  const { head } = draft;
  if (!commandStates[command].includes(head.state)) {
    const states = commandStates[command].join(', ');
    const message = `${command}: expected a rollout that is ${states}; ${head.id} is ${head.state}`;
    throw new AiotError('AIOT_ROLLOUT_STATE', message);
  }
  commands[command](draft, who);
}

const commands: Record<RolloutCommand, (draft: Draft, who: string) => void> = {
  approve(draft, who) {
    const { head } = draft;
    if (personOf(who) === personOf(head.by)) {
      throw new AiotError(
        'AIOT_ROLLOUT_APPROVER',
        `${who} started ${head.id}, so another user must approve it`,
      );
    }
    head.approvals = [...head.approvals, { who, at: draft.at }];
    head.state = 'scheduled';
  },
  pause(draft, who) {
    const { head } = draft;
    head.state = 'paused';
    head.reason = { code: 'AIOT_ROLLOUT_PAUSED', message: `paused by ${who}` };
    // Devices that have already started may finish. The others must not start, so their offers are withdrawn.
    for (const device of draft.devicesUpTo(head.waves.length - 1)) {
      if (device.state !== 'offered') continue;
      draft.withdraw(device);
      draft.change(device, { state: 'pending', attempts: device.attempts - 1 });
    }
  },
  resume(draft) {
    const { head } = draft;
    head.state = head.wave < 0 ? 'scheduled' : 'running';
    head.reason = null;
    forgiveCrashes(draft);
    for (const wave of head.waves) {
      wave.forgiven = harmed(head, wave);
      if (wave.state !== 'stopped') continue;
      Object.assign(wave, { state: 'open', waived: true });
      if (wave.shadow) wave.shadow = { ...wave.shadow, passed: true };
    }
  },
  abort(draft, who) {
    // A wave may have met its conditions while some of its devices were still offline. That wave did not pass, because those devices get no
    // offer.
    for (const wave of draft.head.waves)
      if (wave.opened !== null && unended(wave) > 0) wave.state = 'stopped';
    recall(draft, 'withdrawn');
    draft.head.state = 'aborting';
    draft.head.reason = { code: 'AIOT_ROLLOUT_ABORTED', message: `aborted by ${who}` };
  },
  rollback(draft, who) {
    const { head } = draft;
    if (head.rollback === null) {
      const message = `${head.id} was started without a release to roll back to`;
      throw new AiotError('AIOT_ROLLOUT_NO_WAY_BACK', message);
    }
    head.ended = null;
    rollBack(draft, { code: 'AIOT_ROLLOUT_ROLLED_BACK', message: `rolled back by ${who}` });
  },
  retry(draft) {
    const { head } = draft;
    head.ended = null;
    head.reason = null;
    head.state = 'running';
    for (const device of draft.devicesUpTo(head.waves.length - 1)) {
      if (device.state !== 'failed' && device.state !== 'rolledBack' && device.state !== 'missed') continue;
      draft.change(device, { state: 'pending', attempts: 0, retryAt: null, error: null, step: null });
    }
    forgiveCrashes(draft);
    head.waves.forEach((wave, index) => {
      Object.assign(wave, { forgiven: harmed(head, wave) - failures(wave), waived: false });
      if (wave.opened !== null) Object.assign(wave, { state: 'open', settled: null, ended: null });
      if (isShadowing(wave)) beginShadow(draft, index);
    });
    head.wave = head.waves.findLastIndex(({ opened }) => opened !== null);
  },
};

/** Different tokens of one user count as the same person. All tokens without a user count as one person too. */
function personOf(who: string): string {
  return /^(user \S+|operator)(?= )/.exec(who)?.[0] ?? who;
}

/**
 * Offers the release to the devices of open waves that are due. Outside the maintenance window, withdraws offers that devices have not
 * started.
 */
function offerDue(draft: Draft): void {
  const { head } = draft;
  const open = windowIsOpen(head.policy.window, draft.at);
  refill(draft);
  for (let wave = 0; wave <= head.wave; wave++) {
    if (open) offerTo(draft, wave);
    else takeBack(draft, wave);
  }
}

// Called for every report. In a wave of ten thousand devices, skipping blocks without due devices saves considerable time.

function offerTo(draft: Draft, wave: number): void {
  const { counts } = draft.wave(wave);
  if (counts.pending + counts.shadowing === 0) return;
  const asShadow = isShadowing(draft.wave(wave));
  for (const device of draft.devicesOf(wave, ({ due }) => due <= draft.at)) {
    if (!isDue(draft, device, asShadow)) continue;
    if (draft.world.permits?.(device.name) === false) {
      takeOut(draft, device.name, whyOut.left);
      continue;
    }
    if (!take(draft)) return;
    draft.offer(device, draft.head.releases[device.item]!, 'offered', asShadow);
  }
}

function takeBack(draft: Draft, wave: number): void {
  if (draft.wave(wave).counts.offered === 0) return;
  for (const device of draft.devicesOf(wave, ({ offered }) => offered)) {
    if (device.state !== 'offered') continue;
    draft.withdraw(device);
    draft.change(device, { state: 'pending', attempts: device.attempts - 1 });
  }
}

/** Whether the device is due for an offer. While the wave runs a shadow, devices that cannot run a shadow wait. */
function isDue({ at, world }: Draft, { name, state, retryAt }: RolloutDevice, asShadow: boolean): boolean {
  if (!asShadow && state === 'shadowing') return true;
  if (state !== 'pending' || (retryAt !== null && at < retryAt)) return false;
  return !asShadow || (world.shadows?.(name) ?? false);
}

/**
 * Maximum unused capacity that is carried over, in ms of the offer rate. The rest is lost, so that the next wave does
 * not start with a burst of offers.
 */
const savedMs = 1000;

function refill(draft: Draft): void {
  const { head, at } = draft;
  const { perMinute } = head.policy;
  if (perMinute === null) return;
  const before = head.budget ?? { offers: 1, at };
  const grown = (Math.max(0, at - before.at) * perMinute) / 60_000;
  const most = 1 + (savedMs * perMinute) / 60_000;
  head.budget = { offers: Math.min(most, before.offers + grown), at };
}

function take({ head }: Draft): boolean {
  if (head.budget === null) return true;
  if (head.budget.offers < 1) return false;
  head.budget = { ...head.budget, offers: head.budget.offers - 1 };
  return true;
}
