import * as z from 'zod';
import { digestPattern } from '../../core/crypto.js';
import type { Desired, Reported } from '../protocol/messages.js';
import type { UpdateMachine } from './types.js';

export type SlotIndex = 0 | 1;

/** The other of the two slots; the first one when none is in use. */
export function otherSlot(slot: SlotIndex | null): SlotIndex {
  return slot === 0 ? 1 : 0;
}

/** What a slot holds, written only once its bytes were verified. */
const contentSchema = z.object({
  name: z.string(),
  version: z.int(),
  sequence: z.int(),
  digest: z.string().regex(digestPattern),
  bytes: z.int(),
});

export type SlotContent = z.output<typeof contentSchema>;

const slotSchema = z.union([z.literal(0), z.literal(1)]);
const refusalSchema = z.object({ code: z.string(), message: z.string() });

export type Refusal = z.output<typeof refusalSchema>;

/**
 * All that survives a power cut, written as one record (see sim/store.ts). `floor`, `sequence` and `newestSigned` never
 * fall, but that they begin anew when all keys that sign releases were replaced.
 */
export const deviceRecordSchema = z.object({
  /** Nothing with a sequence below it is accepted. */
  floor: z.int(),
  /** Of the last committed manifest. */
  sequence: z.int(),
  /** The newest `issued` of a manifest with a valid signature, ms since 1970: the clock that cannot be set back. */
  newestSigned: z.int(),
  /** The root under whose keys the three above were counted: they begin anew with one that replaces those keys. Absent = the first. */
  epoch: z.int().optional(),
  active: slotSchema.nullable(),
  slots: z.tuple([contentSchema.nullable(), contentSchema.nullable()]),
  /** A slot that was erased for this blob and holds a part of it. */
  download: z.object({ slot: slotSchema, digest: z.string() }).nullable(),
  /** A verified slot that is not active yet, and how often its trial has begun; or one that runs as a shadow, and is never committed so. */
  trial: z
    .object({
      ...{ slot: slotSchema, rollout: z.string(), floor: z.int(), tries: z.int() },
      shadow: z.literal(true).optional(),
    })
    .nullable(),
  /** How the last update ended: a rollout that has ended is not begun again. */
  last: z
    .object({
      rollout: z.string(),
      state: z.enum(['IDLE', 'COMMITTED', 'ROLLED_BACK']),
      error: refusalSchema.nullable(),
    })
    .nullable(),
});

export type DeviceRecord = z.output<typeof deviceRecordSchema>;

/** A device as it leaves the factory. */
export const blankRecord: DeviceRecord = {
  floor: 0,
  sequence: 0,
  newestSigned: 0,
  active: null,
  slots: [null, null],
  download: null,
  trial: null,
  last: null,
};

export function withSlot(
  slots: DeviceRecord['slots'],
  slot: SlotIndex,
  content: SlotContent | null,
): DeviceRecord['slots'] {
  return slot === 0 ? [content, slots[1]] : [slots[0], content];
}

/** What the active slot of a kind holds, as it is reported. */
export function runningOf({ record }: UpdateMachine): Reported['model'] {
  const content = record.active === null ? null : record.slots[record.active];
  if (!content) return null;
  const { name, version, sequence, digest } = content;
  return { name, version, sequence, digest };
}

/** A machine for each kind that a device updates. */
interface UpdateMachines {
  model: UpdateMachine;
  config: UpdateMachine;
  firmware?: UpdateMachine;
}

/** The `reported` message of a device with several kinds, about the one that was heard of last. @param t ms since 1970 */
export function reportOfAll(
  { model, config, firmware }: UpdateMachines,
  speaks: Desired['kind'],
  t: number,
): Reported {
  const told = reportOf({ model, config, firmware }[speaks] ?? model, t);
  const program = firmware && told.firmware && { ...told.firmware, release: runningOf(firmware) };
  return {
    ...told,
    ...(program ? { firmware: program } : {}),
    ...(speaks === 'model' ? {} : { kind: speaks }),
    model: runningOf(model),
    config: runningOf(config),
  };
}

/** The `reported` message that tells of this state. @param t ms since 1970 */
export function reportOf(state: UpdateMachine, t: number): Reported {
  const { record } = state;
  const { type, firmware, features } = state.traits;
  return {
    t,
    type,
    ...(firmware === undefined ? {} : { firmware }),
    ...(features === undefined ? {} : { features }),
    state: state.phase,
    rollout: state.rollout,
    model: runningOf(state),
    floor: record.floor,
    download: state.download,
    ...(state.delta === null ? {} : { delta: state.delta }),
    golden: state.golden,
    error: state.error,
  };
}
