import * as z from 'zod';

const time = z.int().min(0);

/** A command from the platform to a device: QoS 1, not retained. */
export const commandSchema = z.looseObject({
  /** Chosen by the sender and repeated in the reply. A device runs and answers each id once. */
  id: z.string().min(1).max(64),
  /** ping, status, reboot, crash, log-level, or a command that a project defines. A device answers any other name with AIOT_COMMAND_UNKNOWN. */
  command: z.string().min(1).max(64),
  args: z.record(z.string(), z.unknown()).optional(),
  /** After this time, the device ignores the command. */
  expires: time.optional(),
});
export type Command = z.output<typeof commandSchema>;

/** The reply to one command, from the device to the platform: QoS 1. */
export const replySchema = z.looseObject({
  id: z.string(),
  t: time,
  ok: z.boolean(),
  result: z.record(z.string(), z.unknown()).optional(),
  error: z.object({ code: z.string(), message: z.string() }).optional(),
});
export type Reply = z.output<typeof replySchema>;

/** From the least severe level. */
export const logLevels = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof logLevels)[number];

/** One line of a device's log, from the device to the platform: QoS 1. */
export const logSchema = z.looseObject({
  t: time,
  level: z.enum(logLevels),
  message: z.string(),
  /** The error code, if the line reports an error. */
  code: z.string().optional(),
});

/** The level after each start of a device. */
export const usualLogLevel: LogLevel = 'info';

/** The shortest and the longest time for which the command log-level sets a level, ms. */
export const logLevelMs = { min: 1000, max: 7 * 86_400_000 };

/** A level of the log, and the time until the usual level is in use again, ms; absent = the next start. Lines below the level are left out. */
export const logLevelSchema = z.object({
  level: z.enum(logLevels),
  forMs: z.int().min(0).max(logLevelMs.max).optional(),
});
export type LogLevelState = z.output<typeof logLevelSchema>;
