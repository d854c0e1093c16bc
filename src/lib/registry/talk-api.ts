import * as z from 'zod';
import { time } from './fields.js';

/** What devices say, by the last part of the topic. */
export const deviceChannels = ['telemetry', 'inference', 'reply', 'log'] as const;

/** GET /devices/{name}/messages: the newest of a channel, oldest first. */
export const deviceMessagesQuerySchema = z.object({
  channel: z.enum(deviceChannels),
  /** Those that came after it, ms since 1970; an hour ago when absent. */
  since: z.coerce.number().int().min(0).optional(),
  limit: z.coerce.number().int().min(1).max(5000).default(500),
});
export type DeviceMessagesQuery = z.output<typeof deviceMessagesQuerySchema>;

export const deviceMessageSchema = z.object({
  /** When it came, by the platform's clock. */
  at: time,
  /** Of telemetry. */
  stream: z.string().optional(),
  /** As protocol v1 has it. */
  payload: z.record(z.string(), z.unknown()),
});
export type DeviceMessage = z.output<typeof deviceMessageSchema>;
export const deviceMessagesSchema = z.object({ messages: z.array(deviceMessageSchema) });

/** POST /devices/{name}/commands: what a device is to do now. */
export const deviceCommandSchema = z.strictObject({ command: z.enum(['ping', 'status', 'reboot']) });
export type DeviceCommand = z.output<typeof deviceCommandSchema>['command'];

export const deviceReplySchema = z.object({
  device: z.string(),
  command: deviceCommandSchema.shape.command,
  /** What the device answered. */
  result: z.unknown().optional(),
  /** From the command to its answer. */
  ms: z.number(),
});
export type DeviceReply = z.output<typeof deviceReplySchema>;
