import * as z from 'zod';
import { digestPattern } from '../../core/crypto.js';
import type { Desired, Reported } from '../protocol/messages.js';
import type { UpdateMachine } from './types.js';

export type SlotIndex = 0 | 1;

/** Returns the other slot, or the first one if none is in use. */
export function otherSlot(slot: SlotIndex | null): SlotIndex {
  return slot === 0 ? 1 : 0;
}

/** The content of a slot, recorded only after its bytes were verified. */
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
 * All data that survives a power cut. The data is written as one record (see virtual/store.ts). `floor`, `sequence` and
 * `newestSigned` never decrease, except that they are reset when all keys that sign releases are replaced.
 */
export const deviceRecordSchema = z.object({
  /** Releases with a lower sequence number are not accepted. */
  floor: z.int(),
  /** Sequence number of the last committed manifest. */
  sequence: z.int(),
  /** The newest `issued` time of a manifest with a valid signature, ms since 1970. It serves as a clock that cannot be set back. */
  newestSigned: z.int(),
  /**
   * Version of the root whose keys signed the manifests behind the three values above. A root that replaces those keys resets the values.
   * Absent = the first root.
   */
  epoch: z.int().optional(),
  /** Highest secure version of committed firmware; absent = 0. It is reset with the values above. */
  secureVersion: z.int().optional(),
  active: slotSchema.nullable(),
  slots: z.tuple([contentSchema.nullable(), contentSchema.nullable()]),
  /** A slot that was erased for this blob and contains part of it. */
  download: z.object({ slot: slotSchema, digest: z.string() }).nullable(),
  /**
   * A verified slot that is not active yet, and the number of its trials so far; or a slot that runs as a shadow,
   * without being committed.
   */
  trial: z
    .object({
      ...{ slot: slotSchema, rollout: z.string(), floor: z.int(), tries: z.int() },
      shadow: z.literal(true).optional(),
      secureVersion: z.int().optional(),
    })
    .nullable(),
  /** Result of the last update. Prevents a finished rollout from being restarted. */
  last: z
    .object({
      rollout: z.string(),
      state: z.enum(['IDLE', 'COMMITTED', 'ROLLED_BACK']),
      error: refusalSchema.nullable(),
    })
    .nullable(),
});

export type DeviceRecord = z.output<typeof deviceRecordSchema>;

/** A factory-new device. */
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

/** The content of a kind's active slot, in the form used in reports. */
export function runningOf({ record }: UpdateMachine): Reported['model'] {
  const content = record.active === null ? null : record.slots[record.active];
  if (!content) return null;
  const { name, version, sequence, digest } = content;
  return { name, version, sequence, digest };
}

/** One machine for each kind that a device updates. */
interface UpdateMachines {
  model: UpdateMachine;
  config: UpdateMachine;
  firmware?: UpdateMachine;
}

/**
 * The `reported` message of a device that updates several kinds. The message contains the update state of the kind
 * `speaks`.
 * @param t ms since 1970
 */
export function reportOfAll(
  { model, config, firmware }: UpdateMachines,
  speaks: Desired['kind'],
  t: number,
): Reported {
  const told = reportOf({ model, config, firmware }[speaks] ?? model, t);
  const program = firmware &&
    told.firmware && {
      ...told.firmware,
      ...{ release: runningOf(firmware), secureVersion: lowestSecureVersion(firmware) },
    };
  return {
    ...told,
    ...(program ? { firmware: program } : {}),
    ...(speaks === 'model' ? {} : { kind: speaks }),
    model: runningOf(model),
    config: runningOf(config),
  };
}

/** Lowest secure version of firmware that a device accepts. */
export function lowestSecureVersion({ traits, record }: Pick<UpdateMachine, 'traits' | 'record'>): number {
  return Math.max(traits.secureVersion ?? 0, record.secureVersion ?? 0);
}

/** The `reported` message for this state. @param t ms since 1970 */
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
