import type { PlatformEvent } from '../../../registry/index.js';
import { dedupeHeader, type Header, type OutgoingMessage } from '../../../stream/index.js';
import type { PlacedEntry } from '../../journal/reader.js';

export const telemetryTopic = 'aiot.telemetry';
export const eventsTopic = 'aiot.events';

/** One thing to send on, and where the lane stands behind it. `message` is null for what is not sent. */
export interface Item {
  message: OutgoingMessage | null;
  position: string;
  /** When it came to be, ms since 1970. */
  at: number;
}

/** `platform`: what tells this platform's messages from those of another in the same topic. */
export function eventItem(event: PlatformEvent, platform: string): Item {
  const { id, at, subject } = event;
  const message = messageOf(eventsTopic, subject, event, at, `${platform}/event/${id}`);
  return { message, position: String(id), at };
}

/** Telemetry alone: what devices answer and log is not meant for others. */
export function telemetryItem({ entry, position }: PlacedEntry, platform: string): Item {
  const { at, device, channel, repeat } = entry;
  const wanted = channel === 'telemetry' && !repeat;
  const message = wanted
    ? messageOf(telemetryTopic, device, entry, at, `${platform}/telemetry/${position}`)
    : null;
  return { message, position, at };
}

/** Sent twice, it has the same id twice: JetStream leaves the second out, and readers of Kafka can. */
function messageOf(topic: string, key: string, value: object, time: number, id: string): OutgoingMessage {
  const headers: Header[] = [
    ['content-type', 'application/json'],
    [dedupeHeader, id],
    ['Nats-Msg-Id', id],
  ];
  return { topic, key: Buffer.from(key), payload: Buffer.from(JSON.stringify(value)), time, headers };
}
