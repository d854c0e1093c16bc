import * as z from 'zod';
import type { ErrorCode } from '../../core/catalogue.js';
import { chipNames } from '../../formats/esp-image/chips.js';
import { rules } from '../plan/types.js';

/** One region as it is on the chip now. */
export const writtenRegionSchema = z.object({
  name: z.string(),
  offset: z.int(),
  bytes: z.int(),
  /** The flash had these bytes already. */
  skipped: z.boolean(),
  /** Bytes that were written: fewer where only changed sectors were, 0 where it was skipped. */
  written: z.int(),
  /** As the chip computes it, 32 hex digits. */
  md5: z.string(),
});
export type WrittenRegion = z.output<typeof writtenRegionSchema>;

export const objectionSchema = z.object({ rule: z.enum(rules), region: z.string(), message: z.string() });

/** Which app or model slot was switched to. */
export const switchedSchema = z.object({
  /** Label of the partition. */
  slot: z.string(),
  /** What it was before; null = none was named. */
  before: z.string().nullable(),
  /** Of the watch for a healthy start; null = nobody watched. */
  healthy: z.boolean().nullable(),
  /** The board is on what it was before again. */
  restored: z.boolean(),
  /** Why it was set back, or what showed that it is well. */
  reason: z.string().nullable(),
  /** The command that goes back to what it was before, without its --port; null = there is none. */
  back: z.string().nullable(),
});
export type Switched = z.output<typeof switchedSchema>;

/** One board, written. */
export const flashedSchema = z.object({
  port: z.string(),
  chip: z.enum(chipNames),
  mac: z.string(),
  /** Bytes of the flash; null = it does not tell. */
  flashBytes: z.int().nullable(),
  erased: z.boolean(),
  regions: z.array(writtenRegionSchema),
  /** Every region was compared with the flash by MD5; a chip in secure download mode cannot. */
  verified: z.boolean(),
  /** The program was started; elsewhere (no DTR and RTS, or told not to) somebody presses RESET. */
  restarted: z.boolean(),
  /** From the opening of the port. */
  seconds: z.number(),
  /** Name of the device whose identity was written; null = none. */
  device: z.string().nullable(),
  /** SHA-256 of its certificate's DER, 64 hex digits. */
  certificate: z.string().nullable(),
  /** What programs say of themselves: `motor-watch 1.2.0`. */
  versions: z.array(z.string()),
  switched: switchedSchema.nullable(),
  warnings: z.array(z.string()),
  /** What --force overrode. */
  overridden: z.array(objectionSchema),
});
export type Flashed = z.output<typeof flashedSchema>;

/** One of many boards: written, or why not. */
export const boardOutcomeSchema = z.object({
  port: z.string(),
  attempts: z.int(),
  seconds: z.number(),
  /** What was heard of it before it failed, too; null = it never answered. */
  mac: z.string().nullable(),
  chip: z.string().nullable(),
  /** The device whose identity it got, or was to get. */
  device: z.string().nullable(),
  /** null = it was not written; with an error of its own where it was, and is not well. */
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

/** What `--dry-run` tells: nothing was opened. */
export const plannedSchema = z.object({
  chip: z.enum(chipNames),
  regions: z.array(writtenRegionSchema.pick({ name: true, offset: true, bytes: true, md5: true })),
  warnings: z.array(z.string()),
  overridden: z.array(objectionSchema),
});
export type Planned = z.output<typeof plannedSchema>;

/** One board, many, or a plan alone. */
export const flashResultSchema = z.union([flashedSchema, boardsSchema, plannedSchema]);
