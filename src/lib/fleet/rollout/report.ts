import type { DeviceProof, Release, RolloutReason } from '../../api/rollouts/schema.js';
import { backOffMs } from '../../core/time.js';
import { type Draft, parseWish } from './draft.js';
import { isShadowing } from './shadow.js';
import type { RolloutDevice, UpdateReport } from './types.js';
import { isEnd } from './waves.js';

/** Applies a device's report. Reports may arrive twice, late and in any order. Reports about an earlier offer are ignored. */
export function applyReport(draft: Draft, before: RolloutDevice, report: UpdateReport): void {
  const { offer } = parseWish(report.rollout ?? '');
  const { state: step } = report;
  if (before.offer === 0 || offer !== before.offer) return;
  if (before.state === 'committed' && step === 'COMMITTED') proveAgain(draft, before, report);
  if (!listens(before, step)) return;
  const device = withDelta(draft, before, report);
  if (step === 'COMMITTED') committed(draft, device, report);
  else if (step === 'ROLLED_BACK') ended(draft, device, step, 'rolledBack', report.error);
  else if (step !== 'IDLE') proceeds(draft, device, step, report);
  else if (report.error) ended(draft, device, step, 'failed', report.error, report.refusedRecall);
  // The device has received the recall and dropped the desired release.
  else if (device.state === 'recalled') draft.change(device, { state: recalledTo(draft), step });
  else if (device.step !== step) draft.change(device, { step });
}

/** Records how the release was transferred. Devices report the transfer before a restart, not after it. */
function withDelta(draft: Draft, device: RolloutDevice, { delta }: UpdateReport): RolloutDevice {
  if (!delta || JSON.stringify(delta) === JSON.stringify(device.delta)) return device;
  return draft.change(device, { delta });
}

/**
 * Whether a report counts. No report counts once the device's commit or rollback has been recorded. Before that, a
 * commit always counts, because it means that the device runs the release. Other reports count only for unfinished
 * devices.
 */
function listens({ state }: RolloutDevice, step: string): boolean {
  if (state === 'committed' || state === 'rolledBack' || state === 'restored') return false;
  return step === 'COMMITTED' || !isEnd(state);
}

function recalledTo({ head }: Draft): 'pending' | 'withdrawn' {
  return head.state === 'paused' || head.state === 'running' ? 'pending' : 'withdrawn';
}

const proofs = { VERIFYING: 'downloaded', STAGED: 'verified', TRIAL: 'booted' } as const;

function proceeds(draft: Draft, device: RolloutDevice, step: string, report: UpdateReport): void {
  const proof = proofs[step as keyof typeof proofs];
  const golden = passed(report) ? { golden: draft.at } : {};
  const times = { ...golden, ...(proof ? { [proof]: draft.at } : {}), ...device.times };
  const more = Object.keys(times).length > Object.keys(device.times).length;
  const measured = device.asShadow && report.shadow ? { shadow: report.shadow } : {};
  // Progress within a step is reported repeatedly, and changes nothing here.
  if (device.step === step && !more && (!measured.shadow || same(measured.shadow, device.shadow))) return;
  // A pending device that reports progress started the update before it received the recall.
  const begun = device.state === 'pending' ? 'recalled' : underWayAs(draft, device, step);
  const state = device.state === 'restoring' || device.state === 'recalled' ? device.state : begun;
  draft.change(device, {
    ...{ state, step, ...measured },
    times: device.state === 'restoring' ? device.times : times,
  });
}

function underWayAs(draft: Draft, device: RolloutDevice, step: string): 'updating' | 'shadowing' {
  if (device.state === 'shadowing') return 'shadowing';
  const begins = step === 'SHADOW' && device.asShadow && isShadowing(draft.wave(device.wave));
  return begins ? 'shadowing' : 'updating';
}

function same(a: object, b: object | null | undefined): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function committed(draft: Draft, device: RolloutDevice, report: UpdateReport): void {
  const { head } = draft;
  const step = 'COMMITTED';
  const release = device.state === 'restoring' ? head.rollback! : head.releases[device.item]!;
  if (release.kind === 'settings') {
    const times = device.state === 'restoring' ? device.times : { ...device.times, committed: draft.at };
    const state = device.state === 'restoring' ? 'restored' : 'committed';
    draft.change(device, { state, step, error: null, times });
    return;
  }
  const running = runningOf(release.kind, report);
  if (running?.sequence !== release.sequence || (device.asShadow && device.state !== 'restoring')) {
    if (isEnd(device.state)) return;
    const got = running?.sequence ?? 'none';
    const message = device.asShadow
      ? `the device committed sequence ${got}, which it was to run as a shadow`
      : `the device committed sequence ${got}, not ${release.sequence}`;
    const holds = running?.sequence === release.sequence;
    fail(draft, draft.change(device, { holds }), {
      step,
      error: { code: 'AIOT_ROLLOUT_MISREPORTED', message },
    });
    return;
  }
  if (device.state === 'restoring') {
    draft.change(device, { state: 'restored', step, error: null });
    return;
  }
  const proof = proofOf(device, report, draft.at);
  const unproven = unprovenCommit(draft, proof);
  if (unproven) {
    if (!isEnd(device.state))
      fail(draft, draft.change(device, { proof, holds: true }), { step, error: unproven });
    return;
  }
  const golden = passed(report) ? { golden: draft.at } : {};
  const times = { ...golden, ...device.times, committed: draft.at };
  const next = device.item + 1;
  if (next === head.releases.length) {
    // 0 = the device's clock is not set yet.
    const clock = report.t ? { committedT: report.t } : {};
    draft.change(device, { state: 'committed', step, error: null, times, proof, ...clock });
  } else {
    draft.change(device, { state: 'pending', item: next, attempts: 0, step, error: null, times, proof });
  }
}

/** The reason why a reported commit does not count; null if it counts. */
function unprovenCommit({ head }: Draft, proof: DeviceProof): RolloutReason | null {
  if (proof.state === 'refused') return proof.refused;
  if (proof.state === 'proven' || !head.policy.requireProof) return null;
  const message = 'the device committed without a signature, which --require-proof does not accept';
  return { code: 'AIOT_PROOF_MISSING', message };
}

function ended(
  draft: Draft,
  device: RolloutDevice,
  step: string,
  state: 'rolledBack' | 'failed',
  error: RolloutReason | null,
  refusedRecall = false,
): void {
  // The reported attempt has already ended. A duplicate or late report does not count as another failure, and does not postpone the
  // retry.
  if (device.state === 'pending') {
    if (state === 'rolledBack' && device.holds) draft.change(device, { holds: false });
    return;
  }
  // If the device abandoned the attempt because of a recall, the release has not failed.
  if (device.state === 'recalled' && !refusedRecall) {
    draft.change(device, { state: recalledTo(draft), step, error });
    return;
  }
  fail(draft, state === 'rolledBack' ? draft.change(device, { holds: false }) : device, {
    step,
    error,
    state,
  });
}

/**
 * Records that the device rejected the update or failed to install it. The device gets another offer later, unless this was the last
 * attempt.
 */
export function fail(
  draft: Draft,
  device: RolloutDevice,
  { state = 'failed', ...told }: Partial<Pick<RolloutDevice, 'state' | 'step' | 'error'>>,
): void {
  const { policy } = draft.head;
  // The device must not retry on its own after its next reboot.
  draft.withdraw(device);
  if (device.state === 'restoring' || device.attempts >= policy.attempts || !goesOn(draft)) {
    draft.change(device, { ...told, state });
    return;
  }
  const retryAt = draft.at + backOffMs(device.attempts, policy.backoffMs);
  draft.change(device, { ...told, state: 'pending', retryAt });
}

function goesOn({ head }: Draft): boolean {
  return head.state === 'running' || head.state === 'paused';
}

type Running = { name?: string; version?: number; sequence: number; digest?: string } | null | undefined;

/** The release of this kind that is running according to the device's report. */
export function runningOf(
  kind: Release['kind'],
  report: { model?: Running; firmware?: { release?: Running } | undefined; config?: Running },
): Running {
  if (kind === 'settings') return null;
  if (kind === 'model') return report.model;
  return kind === 'firmware' ? report.firmware?.release : report.config;
}

function passed({ golden }: UpdateReport): boolean {
  return golden ? golden.vectors > 0 && golden.passed === golden.vectors : false;
}

/** Extra time after the soak for devices to send a signed report that they were healthy, ms. */
const graceMs = 5000;

/** Compares the proof in a commit with the device's earlier proof. @param at ms since 1970 */
function proofOf(device: RolloutDevice, { proof }: UpdateReport, at: number): DeviceProof {
  const before = device.proof ?? null;
  const nothing = { golden: null, healthyS: null, t: null, signed: null };
  if (!proof) return before ?? { ...nothing, state: 'said', at, refused: null };
  const refuse = (refused: RolloutReason): DeviceProof => {
    // An accepted proof remains valid, even if an invalid one is later sent in the device's name.
    if (before?.state === 'proven') return { ...before, refused };
    return { ...nothing, state: 'refused', at, refused };
  };
  if ('refused' in proof) return refuse(proof.refused);
  const old = replayed(before, proof.t);
  if (old) return refuse(old);
  const { golden, healthyS, t, signed } = proof;
  return {
    state: 'proven',
    at,
    golden: golden ?? before?.golden ?? null,
    healthyS,
    t: Math.max(t, before?.t ?? 0),
    signed,
    refused: null,
  };
}

/**
 * Returns the reason for rejecting a proof that is older than the last one. A device whose clock is not set yet reports
 * 0, and 0 does not count as older.
 */
function replayed(before: DeviceProof | null, t: number): RolloutReason | null {
  if (t === 0 || before === null || before.t === null || t >= before.t) return null;
  const message = `expected a proof from ${new Date(before.t).toISOString()} or later, got one from ${new Date(t).toISOString()}`;
  return { code: 'AIOT_PROOF_REPLAYED', message };
}

/**
 * Records another proof from a committed device if its verdict differs, or if it is the first proof that covers the
 * whole soak.
 */
function proveAgain(draft: Draft, device: RolloutDevice, report: UpdateReport): void {
  if (!report.proof) return;
  const proof = proofOf(device, report, draft.at);
  const { soakMs } = draft.head.policy;
  const well = isWell(proof, soakMs) && !isWell(device.proof, soakMs);
  const other = proof.state !== device.proof?.state || proof.refused?.code !== device.proof?.refused?.code;
  if (!well && !other) return;
  const times = well && proof.refused === null ? { ...device.times, healthy: draft.at } : device.times;
  draft.change(device, { proof, times });
}

function isWell(proof: DeviceProof | null | undefined, soakMs: number): boolean {
  return proof?.state === 'proven' && soakMs > 0 && (proof.healthyS ?? 0) >= Math.floor(soakMs / 1000);
}

/** Whether any device with a signed commit may still send a signed report that it was healthy for the wave's entire soak. */
export function awaitsProof(draft: Draft, wave: number): boolean {
  const { soakMs } = draft.head.policy;
  const { settled } = draft.wave(wave);
  if (soakMs === 0 || settled === null || draft.at >= settled + soakMs + graceMs) return false;
  for (const device of draft.devicesOf(wave)) {
    const signs = device.proof?.state === 'proven' && isEnd(device.state);
    if (signs && !isWell(device.proof, soakMs) && draft.world.online(device.name)) return true;
  }
  return false;
}
