import { type DeviceRecord, otherSlot, type Refusal, type SlotIndex, withSlot } from './record.js';
import type { DeviceTraits, UpdateMachine, UpdateStep } from './types.js';

/**
 * Ends the job without installing its version: with ROLLED_BACK if the version was staged, otherwise with IDLE and the
 * error. The previous release remains active.
 */
export function refuse(state: UpdateMachine, error: Refusal): UpdateStep {
  const { job, record } = state;
  const shadow = record.trial?.shadow ?? false;
  const staged = (state.phase === 'STAGED' || state.phase === 'TRIAL') && !shadow;
  const ended = staged ? ('ROLLED_BACK' as const) : ('IDLE' as const);
  if (!job) return { state, effects: [] };
  // The message is shortened, because it can contain external text and the record must fit into its sector.
  const refusal = { code: error.code, message: error.message.slice(0, 300) };
  const kept = {
    ...record,
    slots: staged || shadow ? withSlot(record.slots, job.slot, null) : record.slots,
    // An interrupted download may be resumed. Incorrect bytes are discarded.
    download: error.code === 'AIOT_UPDATE_DOWNLOAD' ? record.download : null,
    trial: null,
    last: { rollout: job.rollout, state: ended, error: refusal },
  };
  const tried = state.phase === 'TRIAL' && (state.traits.kind ?? 'model') !== 'model';
  return {
    state: { ...state, phase: ended, record: kept, job: null, error: refusal, download: null },
    effects: [
      { type: 'persist', record: kept },
      { type: 'report' },
      ...(tried ? [{ type: 'abandon' as const }] : []),
      ...(shadow ? [{ type: 'shadow' as const, slot: null }] : []),
    ],
  };
}

/** Ends a successful trial: the slot becomes active, and the record's sequence number and floor are raised. */
export function commit(state: UpdateMachine): UpdateStep {
  const { job, record } = state;
  const { trial } = record;
  const content = trial && record.slots[trial.slot];
  if (!job || !trial || !content) return { state, effects: [] };
  const kept = {
    ...record,
    active: trial.slot,
    sequence: Math.max(record.sequence, content.sequence),
    floor: Math.max(record.floor, trial.floor),
    ...(trial.secureVersion
      ? { secureVersion: Math.max(record.secureVersion ?? 0, trial.secureVersion) }
      : {}),
    trial: null,
    last: { rollout: job.rollout, state: 'COMMITTED' as const, error: null },
  };
  return {
    state: { ...state, phase: 'COMMITTED', record: kept, job: null, error: null, download: null },
    effects: [{ type: 'persist', record: kept }, { type: 'activate', slot: trial.slot }, { type: 'report' }],
  };
}

/**
 * Determines the state after power-on from the contents of the flash.
 * @param damaged slots whose bytes no longer match their recorded digest. A damaged active slot is replaced with the
 * previous version if that still exists and is not below the floor; otherwise, the device runs without a model.
 */
export function bootUpdate(stored: DeviceRecord, damaged: SlotIndex[], traits: DeviceTraits): UpdateStep {
  const record = damaged.length === 0 ? stored : withoutDamaged(stored, damaged);
  const state: UpdateMachine = {
    traits,
    phase: record.last?.state ?? 'IDLE',
    record,
    attempt: 1,
    job: null,
    pending: null,
    rollout: record.last?.rollout ?? null,
    download: null,
    golden: null,
    delta: null,
    error: record.last?.error ?? null,
  };
  const effects: UpdateStep['effects'] = record === stored ? [] : [{ type: 'persist', record }];
  if (record.active !== null) effects.push({ type: 'activate', slot: record.active });
  if (!record.trial) return { state, effects: [...effects, { type: 'report' }] };

  const { slot, rollout } = record.trial;
  const job = { rollout, desired: null, manifest: null, slot };
  const staged: UpdateMachine = { ...state, phase: 'STAGED', job, rollout, error: null };
  if (!record.slots[slot]) {
    const gone = refuse(staged, {
      code: 'AIOT_DIGEST_MISMATCH',
      message: 'the staged slot no longer matches its digest',
    });
    return { state: gone.state, effects: [...effects, ...gone.effects] };
  }
  return { state: staged, effects: [...effects, { type: 'report' }, { type: 'beginTrial', attempt: 1 }] };
}

function withoutDamaged(record: DeviceRecord, damaged: SlotIndex[]): DeviceRecord {
  const slots = damaged.reduce((all, slot) => withSlot(all, slot, null), record.slots);
  if (record.active === null || slots[record.active]) return { ...record, slots };
  const other = otherSlot(record.active);
  const previous = slots[other];
  // A slot with content that is not on trial was committed at some point.
  const usable = previous && record.trial?.slot !== other && previous.sequence >= record.floor;
  return { ...record, slots, active: usable ? other : null };
}
