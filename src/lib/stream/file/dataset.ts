import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { namePattern, telemetryNames } from '../../core/names.js';
import { decodeAuto } from '../decode/values.js';
import type { OutgoingMessage, Sink } from '../message.js';
import { readQuery, type StreamUrl } from '../url.js';
import { payloadRow, unfit } from './rows.js';

const shape = {
  /** Source of the device's name: a member, `$key`, or `$topic:2` for a level of the topic. Default: `deviceID`, `device` or the key. */
  device: z.string().min(1).optional(),
  /** Names of the columns, if payloads are rows of text or arrays. */
  fields: z.string().min(1).optional(),
  /** Recording name for samples that do not specify one. */
  recording: z.string().regex(namePattern).optional(),
};

const fieldName = /^[A-Za-z_]\w*$/;

/**
 * Writes samples to a dataset of the platform: `aiot://dataset/NAME`. Each message becomes telemetry of its device
 * (docs/reference/protocol.md), with the message's own time; the platform acknowledges it once it is on disk. A message
 * with a `seq` is stored once, even if it arrives twice.
 * @param open opens a sink of the platform's broker
 * @throws AIOT_STREAM_URL; while writing AIOT_STREAM_UNFIT, and the errors of the broker's sink
 */
export async function openDatasetSink(
  url: StreamUrl,
  open: (broker: StreamUrl) => Promise<Sink>,
): Promise<Sink> {
  const settings = readQuery(url, shape);
  const name = url.path;
  if (!namePattern.test(name)) {
    throw new AiotError(
      'AIOT_STREAM_URL',
      `${url.endpoint}: expected the name of a dataset, such as aiot://dataset/motor, got "${name}"`,
    );
  }
  const fields = settings.fields?.split(',');
  const sink = await open({ ...url, path: '', query: {} });
  return {
    endpoint: `${sink.endpoint} (dataset ${name})`,
    write: async (messages) =>
      sink.write(
        messages.map((message) => {
          const sample = sampleOf(message, fields, name);
          const device = deviceOf(message, sample, settings.device, name);
          delete sample[settings.device ?? ''];
          const { recording } = settings;
          const telemetry = { t: message.time ?? Date.now(), ...(recording ? { recording } : {}), ...sample };
          return {
            topic: `aiot/v1/${device}/telemetry/${name}`,
            payload: Buffer.from(JSON.stringify(telemetry)),
            qos: 1 as const,
          };
        }),
      ),
    close: () => sink.close(),
  };
}

/**
 * The payload as a telemetry message. The payload is validated here as on the platform, because the platform does not
 * report rejected messages.
 */
function sampleOf(
  message: OutgoingMessage,
  fields: readonly string[] | undefined,
  where: string,
): Record<string, unknown> {
  const { buffer, byteOffset, length } = message.payload;
  const value = decodeAuto(Buffer.from(buffer, byteOffset, length));
  const sample: Record<string, unknown> =
    value !== null && typeof value === 'object' && !Array.isArray(value) && !Buffer.isBuffer(value)
      ? { ...(value as Record<string, unknown>) }
      : { ...payloadRow(message, fields, where) };
  const columns = Object.entries(sample).filter(
    ([name, cell]) => !telemetryNames.has(name) && fieldName.test(name) && isNumbers(cell),
  );
  if (columns.length === 0) throw unfit(where, message, 'contains no numeric columns');
  const lengths = new Set(columns.map(([, cell]) => (Array.isArray(cell) ? cell.length : 1)));
  if (lengths.size > 1) throw unfit(where, message, 'has columns of different lengths');
  for (const [name, type] of [
    ['seq', 'number'],
    ['t', 'number'],
    ['rate', 'number'],
    ['recording', 'string'],
  ] as const) {
    if (sample[name] !== undefined && typeof sample[name] !== type) {
      throw unfit(where, message, `has "${name}", which must be a ${type}`);
    }
  }
  return sample;
}

function isNumbers(cell: unknown): boolean {
  return (
    typeof cell === 'number' ||
    (Array.isArray(cell) && cell.length > 0 && cell.every((each) => typeof each === 'number'))
  );
}

/** @throws AIOT_STREAM_UNFIT */
function deviceOf(
  message: OutgoingMessage,
  sample: Record<string, unknown>,
  from: string | undefined,
  where: string,
): string {
  const key = message.key && Buffer.from(message.key).toString('utf8');
  const level = /^\$topic:(\d+)$/.exec(from ?? '')?.[1];
  const found =
    level !== undefined
      ? message.topic.split(/[/.]/)[Number(level) - 1]
      : from === '$key'
        ? key
        : from === undefined
          ? (sample.deviceID ?? sample.device ?? key)
          : sample[from];
  const device = typeof found === 'number' ? String(found) : found;
  if (typeof device === 'string' && namePattern.test(device)) return device;
  const got = device === undefined ? 'none' : JSON.stringify(device);
  throw unfit(
    where,
    message,
    `does not name its device: expected a name in ${from ?? 'deviceID, device or the key'}, got ${got}; set ?device=`,
  );
}
