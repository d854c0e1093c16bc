import * as z from 'zod';
import { type DeviceMessage, type LogLine, logFollowSchema } from './contract/devices.js';
import type { PlatformEvent } from './events/api.js';
import { name } from './fields.js';

/** Channels of a device's messages. */
export const liveChannels = ['telemetry', 'inference', 'reply', 'log'] as const;

export type LiveChannel = (typeof liveChannels)[number];

const id = z.int().min(1).max(1_000_000_000);

/**
 * A message from the dashboard on its live connection (WebSocket at /live, JSON text). The page chooses an id for each
 * subscription. A user needs the scope `events:read` for events, `devices:read` for a device or log lines, and, for messages, a
 * `stream:` scope that includes the filter.
 */
export const liveRequestSchema = z.union([
  z.strictObject({ id, to: z.literal('events') }),
  z.strictObject({ id, to: z.literal('device'), device: name, channels: z.array(z.enum(liveChannels)) }),
  z.strictObject({ id, to: z.literal('messages'), filter: z.string().min(1).max(4096) }),
  z.strictObject({ id, to: z.literal('logs'), ...logFollowSchema.shape }),
  z.strictObject({ id, to: z.literal('nothing') }),
]);
export type LiveRequest = z.output<typeof liveRequestSchema>;

/** An MQTT message, as printed by `aiot stream tail --json`. */
export interface LiveMessage {
  topic: string;
  /** Time of arrival at this connection, ms since 1970. */
  time: number;
  /** The value if the payload is JSON; its text if it is UTF-8; otherwise its bytes in base64. */
  payload?: unknown;
  encoding: 'json' | 'utf8' | 'base64';
  headers?: ([string, string] | [string, string, 'utf8' | 'base64'])[];
  qos?: 0 | 1 | 2;
  /** Whether this is a retained message that was published before the subscription. */
  retain?: boolean;
  /** Length of the whole payload, and whether `payload` contains only its beginning. */
  bytes: number;
  cut?: true;
}

/** The platform's messages on the live connection. */
export type LiveNews =
  /** Shows that the connection is alive. */
  | { beat: true }
  /** The subscription has begun. From now on, no message is missed. */
  | { id: number; open: true }
  | { id: number; event: PlatformEvent }
  | { id: number; channel: LiveChannel; deviceMessage: DeviceMessage }
  | { id: number; message: LiveMessage }
  | { id: number; line: LogLine }
  /** Number of messages that were dropped because they arrived faster than they can be shown or sent. */
  | { id: number; missed: number }
  /** The subscription was rejected, or has ended. */
  | { id: number; error: { code: string; detail: string; next?: string } };

/**
 * Codes of the close frame: the session has ended, or the user opened too many connections (RFC 6455, section 7.4.2: 4000 to 4999 are
 * private).
 */
export const liveCloseCodes = { sessionEnded: 4401, tooMany: 4429 } as const;

/** Maximum time between two messages from the platform, ms. */
export const liveBeatMs = 15_000;
