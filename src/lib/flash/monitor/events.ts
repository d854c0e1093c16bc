import { z } from 'zod';
import { levels } from './level.js';

const t = z.number().describe('When, ms since 1970.');
const port = z.string();

export const crashFrameSchema = z.object({
  address: z.string().describe('0x and eight hex digits.'),
  from: z.string().describe("A register's name, abort, backtrace, or stack: found there, perhaps a caller."),
  function: z.string().nullable(),
  file: z.string().nullable(),
  line: z.number().nullable(),
});

/** What a monitor tells, in its order. */
export const monitorEventSchema = z.discriminatedUnion('event', [
  z.object({ event: z.literal('waiting'), t, port: port.nullable(), why: z.string() }),
  z.object({ event: z.literal('connected'), t, port, baud: z.number() }),
  z.object({ event: z.literal('lost'), t, port, why: z.string() }),
  z.object({
    event: z.literal('reset'),
    t,
    done: z.boolean().describe('False: this port has no DTR and RTS.'),
  }),
  z.object({
    event: z.literal('line'),
    t,
    text: z.string().describe('Without colours and control characters.'),
    level: z.enum(levels).nullable(),
    tag: z.string().nullable(),
    partial: z.boolean().describe('True: no line end has come yet.'),
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
      .describe('Whether --elf is what the board runs; null: the board has not said.'),
  }),
  z.object({
    event: z.literal('ended'),
    t,
    why: z.enum(['until', 'for', 'quit']),
    matched: z.string().nullable().describe('The line with the pattern.'),
    seconds: z.number(),
    lines: z.number(),
    bytes: z.number(),
    connections: z.number(),
  }),
]);
export type MonitorEvent = z.infer<typeof monitorEventSchema>;
export type MonitorEnd = Extract<MonitorEvent, { event: 'ended' }>;
