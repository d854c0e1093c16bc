import type { Release, RolloutReason } from '../../registry/index.js';
import { applyCommand } from './command.js';
import { Draft } from './draft.js';
import { checkFailures, checkShadow, hasSettled, passes } from './gate.js';
import { offerDue } from './offers.js';
import { awaitsProof } from './proof.js';
import { restore } from './recall.js';
import { applyReport, fail } from './report.js';
import { beginShadow, isShadowing } from './shadow.js';
import { DeviceTable } from './table.js';
import type { RolloutDevice, RolloutEvent, RolloutState, RolloutStep, World } from './types.js';
import { isEnd, unended } from './waves.js';
import { parseWish } from './wish.js';

/**
 * What becomes of a rollout: its next head, the devices that have changed, and what they are to be told. Pure; what comes
 * twice, late, in another order or from a stranger changes nothing.
 * @throws AIOT_ROLLOUT_STATE and others of commands that cannot be given now
 */
export function rolloutStep(state: RolloutState, events: readonly RolloutEvent[], world: World): RolloutStep {
  const draft = new Draft(state, world);
  for (const event of events) {
    apply(draft, event);
    checkFailures(draft);
  }
  goOn(draft);
  return draft.step();
}

/** The state after a step. */
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
    case 'superseded':
    case 'revoked':
      takeOut(draft, event.device, whyOut[event.type]);
      break;
    default:
      applyCommand(draft, event.type, event.who);
  }
}

const whyOut = {
  superseded: { code: 'AIOT_ROLLOUT_SUPERSEDED', message: 'a newer rollout took the device over' },
  revoked: { code: 'AIOT_NOT_ALLOWED', message: 'the device was suspended or revoked' },
};

function takeOut(draft: Draft, name: string, error: RolloutReason): void {
  const device = draft.device(name);
  if (!device || isEnd(device.state)) return;
  if (error.code !== 'AIOT_ROLLOUT_SUPERSEDED') draft.withdraw(device);
  draft.change(device, { state: 'withdrawn', error });
}

function passDeadlines(draft: Draft): void {
  const { deadlineMs, offlineMs } = draft.head.policy;
  const first = draft.at - Math.min(deadlineMs, offlineMs ?? deadlineMs);
  // In later waves nobody has been asked.
  const late = draft.devicesUpTo(draft.head.wave, ({ asked }) => asked <= first);
  for (const device of late) passDeadline(draft, device);
}

function passDeadline(draft: Draft, device: RolloutDevice): void {
  const { deadlineMs, offlineMs } = draft.head.policy;
  // A shadow ends when its wave's does.
  if (device.state === 'shadowing' || device.state === 'pending') return;
  if (isEnd(device.state) || device.offered === null) return;
  const waited = draft.at - device.offered;
  const begun = device.state === 'recalled' || (device.step !== null && device.step !== 'IDLE');
  if (!begun && !draft.world.online(device.name)) {
    if (waited < (offlineMs ?? deadlineMs)) return;
    draft.withdraw(device);
    // One that was to go back runs what nobody wants.
    const state = device.state === 'restoring' ? 'failed' : 'missed';
    draft.change(device, { state, error: deadline('the device was not there until its deadline') });
  } else if (waited >= deadlineMs) {
    const last = device.step === null ? 'it said nothing' : `it was last ${device.step}`;
    const error = deadline(`the device had not ended by the deadline; ${last}`);
    if (device.state === 'recalled') draft.change(device, { state: 'failed', error });
    else fail(draft, device, { error });
  }
}

function deadline(message: string): RolloutReason {
  return { code: 'AIOT_ROLLOUT_DEADLINE', message };
}

/** What follows from what is known now: waves that open, offers, and the end. */
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

/** Whether the last open wave has settled, stayed well long enough, and may let the next one open. */
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
  // All that is left of a last wave is told by how the rollout ends.
  const over = isLast(draft) && unended(wave) === 0 && head.policy.soakMs === 0;
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

/** The release that a device in this state is told to run. */
export function releaseOf(head: RolloutState['head'], device: RolloutDevice): Release | null {
  return device.state === 'restoring' ? head.rollback : (head.releases[device.item] ?? null);
}
