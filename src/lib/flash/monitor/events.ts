import * as z from 'zod';

const t = z.number().describe('Time, ms since 1970.');
const port = z.string();

const crashFrameSchema = z.object({
  address: z.string().describe('0x and eight hex digits.'),
  from: z
    .string()
    .describe("A register's name, abort, backtrace, or stack (found on the stack, possibly a caller)."),
  function: z.string().nullable(),
  file: z.string().nullable(),
  line: z.number().nullable(),
});

/** Levels from most to least severe. */
export const levels = ['error', 'warn', 'info', 'debug', 'verbose'] as const;

/** Events of a monitor, in order. */
export const monitorEventSchema = z.discriminatedUnion('event', [
  z.object({ event: z.literal('waiting'), t, port: port.nullable(), why: z.string() }),
  z.object({ event: z.literal('connected'), t, port, baud: z.number() }),
  z.object({ event: z.literal('lost'), t, port, why: z.string() }),
  z.object({
    event: z.literal('reset'),
    t,
    done: z.boolean().describe('False if this port has no DTR and RTS.'),
  }),
  z.object({
    event: z.literal('line'),
    t,
    text: z.string().describe('Without colors and control characters.'),
    level: z.enum(levels).nullable(),
    tag: z.string().nullable(),
    partial: z.boolean().describe('True if the line has no end yet.'),
  }),
  z.object({ event: z.literal('values'), t, values: z.record(z.string(), z.number()) }),
  z.object({
    event: z.literal('crash'),
    t,
    reason: z.string().nullable(),
    frames: z.array(crashFrameSchema),
    elfMatches: z
      .boolean()
      .nullable()
      .describe(
        'Whether the SHA-256 of the --elf file is the one that the board reported; null if the board reported none.',
      ),
  }),
  z.object({
    event: z.literal('ended'),
    t,
    why: z.enum(['until', 'for', 'quit']),
    matched: z.string().nullable().describe('The line that matched the pattern.'),
    seconds: z.number(),
    lines: z.number(),
    bytes: z.number(),
    connections: z.number(),
  }),
]);

export type MonitorEvent = z.infer<typeof monitorEventSchema>;

export type MonitorEnd = Extract<MonitorEvent, { event: 'ended' }>;

export type Level = (typeof levels)[number];

interface LogHead {
  level: Level;
  /** The component that logged the line. */
  tag: string | null;
  /** The line without the log prefix. */
  message: string;
}

const ofLetter: Record<string, Level> = { E: 'error', W: 'warn', I: 'info', D: 'debug', V: 'verbose' };
const ofWord: Record<string, Level> = { err: 'error', wrn: 'warn', inf: 'info', dbg: 'debug' };

/**
 * The level and component of a log line; null for any other line. Known formats are ESP-IDF's `I (312) wifi: …` (also with a time of
 * day), Arduino's and ESPHome's `[  312][I][main.cpp:12] …`, and Zephyr's `[00:00:01.123,000] <inf> net: …`.
 */
export function logHead(line: string): LogHead | null {
  const idf = /^([EWIDV]) \([\d:. -]+\) (?:([^:]{1,60}): ?)?(.*)$/.exec(line);
  if (idf) return head(ofLetter[idf[1] ?? ''], idf[2], idf[3]);
  const arduino = /^\[[^\]]{1,24}\]\[([EWIDV])\]\[?([^\]:]{0,60})(?::\d+)?\]?:? ?(.*)$/.exec(line);
  if (arduino) return head(ofLetter[arduino[1] ?? ''], arduino[2], arduino[3]);
  const zephyr = /^(?:\[[\d:.,]+\] )?<(err|wrn|inf|dbg)> ([^:]{1,60}): ?(.*)$/.exec(line);
  if (zephyr) return head(ofWord[zephyr[1] ?? ''], zephyr[2], zephyr[3]);
  return null;
}

function head(level: Level | undefined, tag: string | undefined, message = ''): LogHead | null {
  return level ? { level, tag: tag?.trim() || null, message } : null;
}

/** Whether a line of this level is shown if `wanted` is the least severe level requested. Lines without a level are always shown. */
export function isShown(level: Level | null, wanted: Level): boolean {
  return level === null || levels.indexOf(level) <= levels.indexOf(wanted);
}
