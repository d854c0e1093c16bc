import { AiotError, hasCode } from '../core/errors.js';
import { namePattern } from '../core/names.js';
import type { TraceContext } from '../core/trace.js';
import { decodeMessage, parseTopic, type TopicParts } from '../device/protocol/codec.js';
import { logSchema, replySchema } from '../device/protocol/control.js';
import {
  inferenceSchema,
  presenceSchema,
  reportedSchema,
  telemetrySchema,
} from '../device/protocol/messages.js';
import { crashSchema, largestCrash } from '../formats/crash.js';
import type { Crashes } from './devices/crashes.js';
import type { DesiredStates } from './devices/desired.js';
import type { Devices } from './devices/devices.js';
import type { Events } from './events/events.js';
import type { Entry } from './journal/entry.js';
import { fieldsOf } from './journal/takes.js';
import type { Telemetry } from './journal/telemetry.js';
import type { Rollouts } from './releases/rollouts.js';
import type { Store } from './store/database.js';

interface IngestParts {
  telemetry: Telemetry;
  devices: Devices;
  rollouts: Rollouts;
  crashes: Pick<Crashes, 'take'>;
  desired: Pick<DesiredStates, 'endSettings'>;
  now: () => number;
  /** Called once a stream's telemetry is durable. */
  seen?: (stream: string, device: string) => Promise<void>;
  /** Called with a message that violates the protocol. */
  rejected?: (device: string, message: string) => void;
  /** Called with an entry whose trace is recorded, before it is stored. */
  traced?: ((entry: Entry, trace: TraceContext) => void) | undefined;
}

const journalled = {
  telemetry: telemetrySchema,
  inference: inferenceSchema,
  reply: replySchema,
  log: logSchema,
} as const;

/**
 * Stores one message from a device and resolves when the message is durable. Messages on other topics are not stored.
 * @throws AIOT_MESSAGE_MALFORMED for a payload that violates the protocol, and therefore can never be stored
 */
export async function ingest(
  parts: IngestParts,
  topic: string,
  payload: Buffer,
  trace?: TraceContext,
): Promise<void> {
  const parsed = parseTopic(topic);
  if (!parsed) return;
  try {
    await store(parts, parsed, { topic, payload, trace });
  } catch (error) {
    if (hasCode(error, 'AIOT_MESSAGE_MALFORMED')) parts.rejected?.(parsed.device, (error as Error).message);
    throw error;
  }
}

async function store(
  parts: IngestParts,
  parsed: TopicParts,
  { topic, payload, trace }: { topic: string; payload: Buffer; trace: TraceContext | undefined },
): Promise<void> {
  const at = parts.now();
  const { device, channel, stream } = parsed;
  switch (channel) {
    case 'telemetry':
    case 'inference':
    case 'reply':
    case 'log': {
      const value = decodeMessage(journalled[channel], topic, payload);
      if (channel === 'telemetry') checkTelemetry(parsed, topic, value);
      const entry: Entry = { at, device, channel, ...(stream ? { stream } : {}), payload: value };
      // Remembered before the entry is durable, because alarms may evaluate it immediately afterward.
      if (trace) parts.traced?.(entry, trace);
      await parts.telemetry.append(entry);
      if (channel === 'telemetry') await parts.seen?.(stream ?? '', device);
      return;
    }
    case 'reported': {
      const report = decodeMessage(reportedSchema, topic, payload);
      await parts.devices.report(device, report);
      await parts.rollouts.reported(device, report);
      // A device that was offline when its settings were removed did not receive the removal, which is not retained.
      const { digest = null, error = null } = report.settings ?? {};
      if (digest !== null && error === null && !parts.devices.find(device)?.settings?.wanted)
        await parts.desired.endSettings(device);
      return;
    }
    case 'crash': {
      if (payload.length > largestCrash) {
        const message = `${topic}: expected at most ${largestCrash} bytes, got ${payload.length}`;
        throw new AiotError('AIOT_MESSAGE_MALFORMED', message);
      }
      await parts.crashes.take(device, decodeMessage(crashSchema, topic, payload));
      return;
    }
    case 'presence':
      decodeMessage(presenceSchema, topic, payload);
      return;
    case 'desired':
    case 'command':
    case 'settings':
      return;
  }
}

/** Checks that names are usable in paths and URLs, and that columns have equal lengths. */
function checkTelemetry(
  { device, stream = '' }: TopicParts,
  topic: string,
  payload: Record<string, unknown>,
): void {
  const wrong = [device, stream].find((name) => !namePattern.test(name));
  if (wrong !== undefined) {
    throw new AiotError(
      'AIOT_MESSAGE_MALFORMED',
      `${topic}: "${wrong}" is not a valid name of a device or stream`,
    );
  }
  const fields = fieldsOf(payload);
  const lengths = new Set(fields.map(([, column]) => column.length));
  if (lengths.size > 1) {
    const got = fields.map(([name, column]) => `${name}: ${column.length}`).join(', ');
    throw new AiotError('AIOT_MESSAGE_MALFORMED', `${topic}: expected columns of equal length, got ${got}`);
  }
  if (fields.length === 0) {
    throw new AiotError('AIOT_MESSAGE_MALFORMED', `${topic}: expected at least one field, got none`);
  }
}

/**
 * Records an event when a stream's first telemetry arrives: a new dataset. Called for each message; for a known stream,
 * the call is only a set lookup. Telemetry and state are stored separately, so after a crash in between, the stream's
 * next message records the event.
 */
export function datasetsSeen(
  store: Store,
  events: Events,
): (stream: string, device: string) => Promise<void> {
  const known = new Set<string>();
  return async (stream, device) => {
    if (known.has(stream)) return;
    await store.transaction().execute(async (transaction) => {
      const { numInsertedOrUpdatedRows } = await transaction
        .insertInto('meta')
        .values({ key: `dataset:${stream}`, value: device })
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirst();
      if ((numInsertedOrUpdatedRows ?? 0n) === 0n) return;
      await events.record({ who: `device ${device}`, type: 'dataset.create', subject: stream }, transaction);
    });
    known.add(stream);
  };
}
