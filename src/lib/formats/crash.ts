import * as z from 'zod';
import { namePattern } from '../core/names.js';

/** Kinds of crashes. `exit`: the process ended without being stopped, and left no other trace. */
export const crashKinds = [
  'exception',
  'abort',
  'watchdog',
  'stack-overflow',
  'out-of-memory',
  'exit',
  'other',
] as const;

/** Maximum size of a `crash` message, bytes. */
export const largestCrash = 65_536;

const address = z.string().regex(/^0x[0-9a-f]{1,16}$/, 'expected an address such as 0x400d1f22');
const text = (most: number) => z.string().max(most);

/**
 * A position in a program: an address, a name, or both. Addresses are those of the program's ELF file. If the program was loaded elsewhere, the device subtracts
 * the difference.
 */
const place = z.looseObject({
  address: address.optional(),
  function: text(256).optional(),
  file: text(512).optional(),
  line: z.int().min(0).optional(),
});

const backtrace = z.array(place).max(64);

const version = z.string().min(1).max(64);
/** The ELF file: its GNU build ID or, from ESP-IDF, the start of its SHA-256. */
const build = z.string().regex(/^[0-9a-f]{8,64}$/);
const program = {
  name: z.string().regex(namePattern).optional(),
  version: version.optional(),
  build: build.optional(),
};

/** A crash of a device's program, stored when it happens and sent after the restart. */
export const crashSchema = z.looseObject({
  /** Chosen by the device, and unchanged if the message is resent. */
  id: z.string().min(1).max(64),
  /** Time of the crash, ms since 1970; absent if the device had no clock. */
  t: z.int().min(0).optional(),
  kind: z.enum(crashKinds),
  /** The cause in words, such as `SIGSEGV at 0x0`. */
  reason: z.string().min(1).max(300),
  /** The program that crashed: its version, or only its build, such as that of an update before the device returned to its former program. */
  firmware: z
    .union([z.looseObject({ ...program, version }), z.looseObject({ ...program, build })])
    .optional(),
  uptimeMs: z.int().min(0).optional(),
  /** Name of the task or thread that crashed. */
  task: text(64).optional(),
  /** The calls that led to the crash, innermost first. */
  backtrace: backtrace.optional(),
  registers: z
    .record(text(16), address)
    .refine((registers) => Object.keys(registers).length <= 64, 'expected at most 64 registers')
    .optional(),
  /** Contents of the crashed task's stack from its lowest address. */
  stack: z.object({ address, data: z.base64().max(21_848) }).optional(),
  /** Other tasks at the time of the crash. */
  tasks: z
    .array(z.looseObject({ name: text(64), backtrace: backtrace.optional() }))
    .max(64)
    .optional(),
  /** The last lines of the log, oldest first. */
  log: z.array(text(512)).max(64).optional(),
  /** Further details, such as the version of the runtime. */
  details: z
    .record(text(64), z.union([text(512), z.number(), z.boolean()]))
    .refine((details) => Object.keys(details).length <= 32, 'expected at most 32 details')
    .optional(),
});
export type CrashReport = z.output<typeof crashSchema>;
export type CrashPlace = NonNullable<CrashReport['backtrace']>[number];

const placeLine = /^\s*at (?:async )?(?:(.{1,512}) \()?(.{1,1024}?)(?::(\d{1,9}):\d{1,9})?\)?$/;

/** Calls of a V8 stack trace, innermost first: lines such as `at read (file:///opt/loop.js:12:7)`. Other lines are skipped. */
export function placesOfStack(lines: readonly string[]): CrashPlace[] {
  return lines
    .flatMap((line): CrashPlace[] => {
      const [whole, name, file = '', row] = placeLine.exec(line) ?? [];
      if (whole === undefined) return [];
      const path = file.replace(/^file:\/\//, '');
      return [
        {
          function: (name ?? `(anonymous) ${path.slice(path.lastIndexOf('/') + 1)}`).slice(0, 256),
          file: path.slice(-512),
          ...(row === undefined ? {} : { line: Number(row) }),
        },
      ];
    })
    .slice(0, 64);
}
