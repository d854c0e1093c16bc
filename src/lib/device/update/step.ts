import type { Desired } from '../protocol/messages.js';
import { downloading, verified } from './downloading.js';
import { commit, refuse } from './ending.js';
import { type DeviceRecord, otherSlot, withSlot } from './record.js';
import type { JobEvent, UpdateEvent, UpdateMachine, UpdateStep } from './types.js';

/**
 * Computes one step of the update; pure. Events that do not fit the phase, or that belong to an earlier job, change nothing, so any order
 * of events is safe. The state diagram is in docs/reference/protocol.md.
 */
export function updateStep(state: UpdateMachine, event: UpdateEvent): UpdateStep {
  if (event.type === 'desired') return begin(state, event.desired);
  if (event.type === 'withdrawn') return withdraw(state);
  if (event.attempt !== state.attempt || !state.job) return { state, effects: [] };
  const stepped = jobStep(state, event);
  const { pending } = stepped.state;
  if (stepped.state.job || !pending) return stepped;
  const following = begin({ ...stepped.state, pending: null }, pending);
  return { state: following.state, effects: [...stepped.effects, ...following.effects] };
}

function jobStep(state: UpdateMachine, event: JobEvent): UpdateStep {
  if (event.type === 'failed') return refuse(state, { code: event.code, message: event.message });
  switch (state.phase) {
    case 'DOWNLOADING':
      return downloading(state, event);
    case 'VERIFYING':
      return event.type === 'hashed' ? verified(state, event.digest) : { state, effects: [] };
    case 'STAGED':
      return event.type === 'trial' ? beginTrial(state, event.entered) : { state, effects: [] };
    case 'SHADOW':
      return onShadow(state, event);
    case 'TRIAL':
      return onTrial(state, event);
    default:
      return { state, effects: [] };
  }
}

/**
 * Handles a new desired release from the platform. A rollout that has already ended on this device is reported again,
 * but never restarted.
 */
function begin(state: UpdateMachine, desired: Desired): UpdateStep {
  const { phase, record } = state;
  const shadow = record.trial?.shadow ?? false;
  if ((phase === 'STAGED' || phase === 'TRIAL') && !shadow) {
    const pending = desired.rollout === state.job?.rollout ? null : desired;
    return { state: { ...state, pending }, effects: [] };
  }
  if (state.job?.rollout === desired.rollout) return { state, effects: [] };
  if (!state.job && record.last?.rollout === desired.rollout) return { state, effects: [{ type: 'report' }] };

  const abort: UpdateStep['effects'] = [
    ...(state.job ? [{ type: 'abort' as const }] : []),
    ...(shadow ? [{ type: 'shadow' as const, slot: null }] : []),
  ];
  const active = record.active === null ? null : record.slots[record.active];
  if (
    active?.sequence === desired.sequence &&
    active.name === desired.name &&
    active.version === desired.version
  )
    return alreadyThere(state, desired, abort);

  if (desired.kind !== (state.traits.kind ?? 'model')) return otherKind(state, desired, abort);

  const attempt = state.attempt + 1;
  return {
    state: {
      ...state,
      phase: 'DOWNLOADING',
      attempt,
      job: { rollout: desired.rollout, desired, manifest: null, slot: otherSlot(record.active) },
      rollout: desired.rollout,
      pending: null,
      download: null,
      golden: null,
      delta: null,
      error: null,
    },
    effects: [...abort, { type: 'report' }, { type: 'fetchManifest', attempt, path: desired.manifest }],
  };
}

/** Rejects a desired release of another kind immediately, so that the platform need not wait for its deadline. */
function otherKind(state: UpdateMachine, desired: Desired, abort: UpdateStep['effects']): UpdateStep {
  const { rollout, kind } = desired;
  const job = { rollout, desired, manifest: null, slot: otherSlot(state.record.active) };
  const about = {
    phase: 'IDLE' as const,
    attempt: state.attempt + 1,
    rollout,
    pending: null,
    golden: null,
    delta: null,
  };
  const own = state.traits.kind ?? 'model';
  const message = `expected a ${own}, got ${kind}: this device does not update that`;
  const refused = refuse({ ...state, ...about, job }, { code: 'AIOT_UPDATE_INTERFACE', message });
  return { state: refused.state, effects: [...abort, ...refused.effects] };
}

function alreadyThere(state: UpdateMachine, desired: Desired, abort: UpdateStep['effects']): UpdateStep {
  const last = { rollout: desired.rollout, state: 'COMMITTED' as const, error: null };
  const record = { ...withoutShadow(state.record), last };
  return {
    state: {
      ...state,
      phase: 'COMMITTED',
      attempt: state.attempt + 1,
      record,
      job: null,
      rollout: desired.rollout,
      download: null,
      delta: null,
      error: null,
    },
    effects: [...abort, { type: 'persist', record }, { type: 'report' }],
  };
}

/** Handles a withdrawn desired release: ends a download or a shadow, but lets a trial run to completion. */
function withdraw(state: UpdateMachine): UpdateStep {
  const shadow = state.record.trial?.shadow ?? false;
  if (state.phase !== 'DOWNLOADING' && state.phase !== 'VERIFYING' && !shadow)
    return { state: { ...state, pending: null }, effects: [] };
  const record = withoutShadow(state.record);
  const idle = { phase: 'IDLE' as const, job: null, rollout: null, download: null };
  const ended: UpdateStep['effects'] = shadow
    ? [
        { type: 'persist', record },
        { type: 'shadow', slot: null },
      ]
    : [];
  return {
    state: { ...state, ...idle, attempt: state.attempt + 1, record },
    effects: [{ type: 'abort' }, ...ended, { type: 'report' }],
  };
}

/** Removes a shadow from the record. Its slot was never committed, so it must not be used as a fallback. */
function withoutShadow(record: DeviceRecord): DeviceRecord {
  if (!record.trial?.shadow) return record;
  return { ...record, slots: withSlot(record.slots, record.trial.slot, null), trial: null };
}

/**
 * Maximum number of power cuts during a trial. After that, the trial is abandoned, because the model may be crashing
 * the device.
 */
const maxTrials = 3;

/**
 * Starts a trial. The attempt is counted in flash first, so that a crash during the trial is detected at the next boot.
 * @param entered whether the device was restarted into the firmware, in which case the trial was counted before the restart
 */
function beginTrial(state: UpdateMachine, entered = false): UpdateStep {
  const { trial } = state.record;
  if (!trial) return { state, effects: [] };
  if (!entered && trial.tries >= maxTrials) {
    return refuse(state, {
      code: 'AIOT_UPDATE_TRIAL',
      message: `expected the trial to end, got ${trial.tries} restarts during it`,
    });
  }
  const tries = entered ? trial.tries : trial.tries + 1;
  const record = { ...state.record, trial: { ...trial, tries } };
  const { attempt } = state;
  return {
    state: { ...state, phase: trial.shadow ? 'SHADOW' : 'TRIAL', record, golden: null },
    effects: [
      { type: 'persist', record },
      { type: 'report' },
      { type: 'runGolden', attempt, slot: trial.slot },
    ],
  };
}

/**
 * Handles the results of a trial: first of the golden vectors, the program's self-test or the configuration check, then of the heartbeat.
 * Commits if both succeed.
 */
function onTrial(state: UpdateMachine, event: JobEvent): UpdateStep {
  const isModel = (state.traits.kind ?? 'model') === 'model';
  if (event.type === 'golden' && !isModel) {
    return { state, effects: [{ type: 'report' }, { type: 'sendHeartbeat', attempt: state.attempt }] };
  }
  if (event.type === 'golden') {
    const heartbeat = { type: 'sendHeartbeat' as const, attempt: state.attempt };
    return withGolden(state, event, [{ type: 'report' }, heartbeat]);
  }
  if (event.type === 'heartbeat' && (state.golden || !isModel)) return commit(state);
  return { state, effects: [] };
}

/**
 * Handles the result of a shadow's golden vectors. If all match, the shadow runs alongside the active model until the next desired
 * release.
 */
function onShadow(state: UpdateMachine, event: JobEvent): UpdateStep {
  const { trial } = state.record;
  if (event.type !== 'golden' || !trial) return { state, effects: [] };
  return withGolden(state, event, [{ type: 'report' }, { type: 'shadow', slot: trial.slot }]);
}

function withGolden(
  state: UpdateMachine,
  { vectors, passed }: Extract<JobEvent, { type: 'golden' }>,
  effects: UpdateStep['effects'],
): UpdateStep {
  const known = { ...state, golden: { vectors, passed } };
  if (vectors > 0 && passed === vectors) return { state: known, effects };
  return refuse(known, {
    code: 'AIOT_GOLDEN_MISMATCH',
    message: `expected all golden vectors to match, got ${passed} of ${vectors}`,
  });
}
