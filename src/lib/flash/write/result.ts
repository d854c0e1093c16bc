import * as z from 'zod';
import type { ErrorCode } from '../../core/catalogue.js';
import { AiotError } from '../../core/errors.js';
import { chipNames } from '../../formats/esp-image/chips.js';
import { boardLockedSchema } from '../lock/lock.js';
import { rules } from '../plan/types.js';
import { driveFlashedSchema } from './flash-drive.js';

/** One region as it is in flash now. */
export const writtenRegionSchema = z.object({
  name: z.string(),
  offset: z.int(),
  bytes: z.int(),
  /** Whether the flash already had these bytes. */
  skipped: z.boolean(),
  /** Number of bytes written: fewer if only changed sectors were written, and 0 if the region was skipped. */
  written: z.int(),
  /** MD5 of the region's data, 32 hex digits. */
  md5: z.string(),
});
export type WrittenRegion = z.output<typeof writtenRegionSchema>;

export const objectionSchema = z.object({ rule: z.enum(rules), region: z.string(), message: z.string() });

/** The switch to another app or model slot. */
export const switchedSchema = z.object({
  /** Label of the partition. */
  slot: z.string(),
  /** The previous slot; null = no slot was selected, or it contained no model. */
  before: z.string().nullable(),
  /** Result of the watch for a healthy start; null = the start was not watched. */
  healthy: z.boolean().nullable(),
  /** Whether the board was restored to the previous slot. */
  restored: z.boolean(),
  /** Why the board was restored, or the evidence that it is healthy. */
  reason: z.string().nullable(),
  /** The command that switches back, without --port; null = switching back is not possible. */
  back: z.string().nullable(),
});
export type Switched = z.output<typeof switchedSchema>;

/** Result for one board. */
export const flashedSchema = z.object({
  port: z.string(),
  chip: z.enum(chipNames),
  mac: z.string(),
  /** Flash size in bytes; null = unknown. */
  flashBytes: z.int().nullable(),
  erased: z.boolean(),
  regions: z.array(writtenRegionSchema),
  /** Whether every region was compared with the flash by MD5, which is not possible on a chip in secure download mode. */
  verified: z.boolean(),
  /** Whether the program was started. If not (no DTR and RTS, or disabled), the user must press RESET. */
  restarted: z.boolean(),
  /** Whether a program was written, the existing one is unchanged, or the chip has none; null = could not be read. */
  program: z.enum(['written', 'unchanged', 'none']).nullable(),
  /** Time since the port was opened, s. */
  seconds: z.number(),
  /** Name of the device whose identity was written; null = none. */
  device: z.string().nullable(),
  /** SHA-256 of the device certificate's DER, 64 hex digits. */
  certificate: z.string().nullable(),
  /** Names and versions of programs: `motor-watch 1.2.0`. */
  versions: z.array(z.string()),
  switched: switchedSchema.nullable(),
  warnings: z.array(z.string()),
  /** Objections overridden by --force. */
  overridden: z.array(objectionSchema),
});
export type Flashed = z.output<typeof flashedSchema>;

/** The error for a board that was watched and is unhealthy; null for any other board. */
export function unhealthy({ port, switched }: { port: string; switched: Switched | null }): AiotError | null {
  if (switched?.healthy !== false) return null;
  const { slot, before, restored, reason, back } = switched;
  if (restored) return new AiotError('AIOT_FLASH_UNHEALTHY', `${slot} did not become healthy: ${reason}`);
  const message = `${slot} did not become healthy, remains selected for the next boot, and was NOT reverted${toPrevious(before)}: ${reason}`;
  const repeat = 'repeat the update, which reverts it first';
  const next = `Hold BOOT, press RESET, then ${back === null ? repeat : `${back} --port ${port}; or ${repeat}`}`;
  return new AiotError('AIOT_FLASH_UNHEALTHY', message, { next });
}

/** The previous slot as the end of a clause; empty if there was none. */
export function toPrevious(before: string | null): string {
  return before === null ? '' : ` to ${before}`;
}

/** One of many boards: its result, or its error. */
export const boardOutcomeSchema = z.object({
  port: z.string(),
  attempts: z.int(),
  seconds: z.number(),
  /** MAC of the board, even if it failed later; null = it did not answer. */
  mac: z.string().nullable(),
  chip: z.string().nullable(),
  /** The device whose identity the board got, or was meant to get. */
  device: z.string().nullable(),
  /** Result for the board; null = not written. If the board was written but is unhealthy, there is an error as well. */
  board: flashedSchema.nullable(),
  error: z
    .object({ code: z.string() as z.ZodType<ErrorCode>, message: z.string(), next: z.string() })
    .nullable(),
});
export type BoardOutcome = z.output<typeof boardOutcomeSchema>;

export const boardsSchema = z.object({
  boards: z.array(boardOutcomeSchema),
  ok: z.int(),
  failed: z.int(),
  seconds: z.number(),
});
export type Boards = z.output<typeof boardsSchema>;

/** Result of `--dry-run`: no port was opened. */
export const plannedSchema = z.object({
  chip: z.enum(chipNames),
  regions: z.array(writtenRegionSchema.pick({ name: true, offset: true, bytes: true, md5: true })),
  warnings: z.array(z.string()),
  overridden: z.array(objectionSchema),
});
export type Planned = z.output<typeof plannedSchema>;

/** Result for a board that was written and locked. */
export const productionFlashedSchema = boardLockedSchema.extend({
  regions: z.array(writtenRegionSchema.extend({ encrypted: z.boolean() })),
  /** Name of the device whose identity was written; null = none. */
  device: z.string().nullable(),
});
export type ProductionFlashed = z.output<typeof productionFlashedSchema>;

/** Result for one board, for many boards, for a dry run, or for the drive of a UF2 bootloader. */
export const flashResultSchema = z.union([
  flashedSchema,
  boardsSchema,
  plannedSchema,
  driveFlashedSchema,
  productionFlashedSchema,
]);
