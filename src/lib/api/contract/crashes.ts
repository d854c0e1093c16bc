import * as z from 'zod';
import { crashKinds, crashSchema } from '../../formats/crash.js';
import { digest, name, selectorSchema, time } from '../fields.js';
import { pageQuerySchema } from '../page.js';
import { endpoint } from './endpoint.js';

/** A call in a backtrace. Unknown parts are null. */
export const crashFrameSchema = z.object({
  address: z.string().nullable(),
  function: z.string().nullable(),
  file: z.string().nullable(),
  line: z.int().nullable(),
});
export type CrashFrame = z.output<typeof crashFrameSchema>;

/** Crashes with the same signature, over all devices and versions. */
export const crashGroupSchema = z.object({
  /** 12 hex digits. */
  signature: z.string(),
  kind: z.enum(crashKinds),
  /** The reason of the newest crash. */
  reason: z.string(),
  /** The place to look at first; null without a backtrace. */
  place: crashFrameSchema.nullable(),
  count: z.int(),
  /** Number of devices. */
  devices: z.int(),
  /** Crashes per version of a program, the newest first; unknown parts are null. */
  versions: z.array(
    z.object({
      firmware: z.string().nullable(),
      version: z.string().nullable(),
      count: z.int(),
      devices: z.int(),
    }),
  ),
  first: time,
  last: time,
  /** ID of the newest stored report; null if none is stored. */
  latest: z.string().nullable(),
});
export type CrashGroup = z.output<typeof crashGroupSchema>;

/** GET /crashes: the groups, the one with the newest crash first. */
export const crashListSchema = z.object({
  groups: z.array(crashGroupSchema),
  next: z.string().nullable(),
});
export type CrashList = z.output<typeof crashListSchema>;

export const crashQuerySchema = z.object({
  ...pageQuerySchema.shape,
  selector: selectorSchema.optional(),
  /** Version of the program. */
  version: z.string().max(64).optional(),
  /** Only crashes that arrived at this time or later, ms since 1970. */
  since: z.coerce.number().int().min(0).optional(),
});

/** GET /crashes/{id}: one report, with its group. */
export const crashShownSchema = z.object({
  id: z.string(),
  device: z.string(),
  /** Time of arrival. */
  at: time,
  /** The report with its `backtrace` as sent; likely secrets are hidden. */
  report: crashSchema,
  /** The backtrace with the functions and lines that are known. */
  frames: z.array(crashFrameSchema),
  group: crashGroupSchema,
  /** Newest stored reports of the group. */
  others: z.array(z.object({ id: z.string(), device: z.string(), at: time, version: z.string().nullable() })),
});
export type CrashShown = z.output<typeof crashShownSchema>;

/** POST /crashes: the report of a program that is not connected as a device, such as a loop. */
export const crashSentSchema = z.strictObject({ device: name, crash: crashSchema });

/** Builds under which an ELF file is registered: its GNU build ID, if it has one, and its SHA-256. */
export const symbolsAddedSchema = z.object({ builds: z.array(z.string()) });

export const crashes = {
  list: endpoint('GET /crashes', {
    reach: 'filtered',
    summary: 'Crashes grouped by signature, newest first',
    query: crashQuerySchema,
    result: crashListSchema,
    errors: ['AIOT_SELECTOR_INVALID'],
  }),
  get: endpoint('GET /crashes/:id', {
    reach: 'filtered',
    summary: 'A crash report by its ID, or the newest report of a group by its signature',
    result: crashShownSchema,
  }),
  addSymbols: endpoint('POST /crashes/symbols', {
    reach: 'shared',
    summary: 'Register an uploaded ELF file, which adds functions and lines to the crashes of its program',
    access: 'ci',
    body: z.strictObject({ digest }),
    takes: ['digest'],
    result: symbolsAddedSchema,
    errors: ['AIOT_IMAGE_MALFORMED'],
  }),
  send: endpoint('POST /crashes', {
    reach: 'filtered',
    summary: 'Store the crash report of a program that is not connected as a device',
    access: 'ci',
    body: crashSentSchema,
    result: z.object({ stored: z.boolean() }),
  }),
};
