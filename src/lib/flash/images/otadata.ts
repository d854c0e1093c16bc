import { z } from 'zod';
import { readBytes, writeFileAtomic } from '../../core/index.js';
import { firstOtadata, nextOtadata, type OtaState, otaStateNames, readOtadata } from '../../formats/index.js';

/** Which app slot a board starts. */
export const otadataSchema = z.object({
  file: z.string(),
  /** Number of app slots it was read for. */
  slots: z.int(),
  /** From 0; null = none is named: the factory app is started, or slot 0 where there is none. */
  active: z.int().nullable(),
  /** One a sector; null = blank. */
  entries: z.array(
    z
      .object({ sequence: z.int(), slot: z.int(), state: z.enum(otaStateNames), usable: z.boolean() })
      .nullable(),
  ),
});
export type OtadataShown = z.output<typeof otadataSchema>;

export interface CreateOtadataOptions {
  out: string;
  /** From 0. */
  slot: number;
  slots: number;
  state: OtaState;
  /** otadata of a board, of which one sector is kept. */
  from?: string;
}

/** @throws AIOT_USAGE (no such slot), AIOT_OTADATA_MALFORMED, AIOT_FILE_NOT_FOUND, AIOT_FILE_NOT_WRITABLE */
export async function createOtadata(options: CreateOtadataOptions): Promise<OtadataShown> {
  const { out, slot, slots, state, from } = options;
  // Written over the file it comes from, it is switched in place.
  const bytes =
    from === undefined
      ? firstOtadata(slot, slots, state)
      : nextOtadata(await readBytes(from), slot, slots, state);
  await writeFileAtomic(out, bytes);
  return described(out, bytes, slots);
}

/** @throws AIOT_OTADATA_MALFORMED with the offset and the reason, AIOT_FILE_NOT_FOUND */
export async function readOtadataFile(file: string, slots: number): Promise<OtadataShown> {
  return described(file, await readBytes(file), slots);
}

function described(file: string, bytes: Uint8Array, slots: number): OtadataShown {
  const { entries, active } = readOtadata(bytes);
  return {
    file,
    slots,
    active: active(slots),
    entries: entries.map((entry) => entry && { ...entry, slot: (entry.sequence - 1) % slots }),
  };
}
