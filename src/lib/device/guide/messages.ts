import { parsedJson } from '../../core/text.js';
/** The guide's topics: topics that its firmware uses, and topics that the guide defines but never uses. */
export const guideTopics = {
  data: 'shaded-pole-motor-sensor_data',
  control: 'control-message',
  level1: 'motor-anomaly-level1-inference',
  level2: 'motor-failure-alert-level2-inference',
} as const;

/** A reading, with fields in the order of the guide's model inputs. Units: A, °C, and the guide's own units for vibration and sound. */
export interface GuideReading {
  current: number;
  temperature: number;
  vibration: number;
  sound: number;
}

export const guideFields = ['current', 'temperature', 'vibration', 'sound'] as const;

/** Maximum payload on any of the guide's topics, bytes. PubSubClient drops packets of more than 256 bytes, including header and topic. */
export const longestGuideMessage = 229;

/** A reading in the format of the guide's firmware. `id`: the decimal chip id. */
export function sensorMessage(id: string, reading: GuideReading): Buffer {
  return Buffer.from(`{${memberText(id, reading)}, "fft_data": "true"}`);
}

/** The reading with the prediction from the board's own model. */
export function level1Message(id: string, reading: GuideReading, inference: number): Buffer {
  return Buffer.from(
    `{${memberText(id, reading)}, "fft_data": "true", "inference": ${inference.toFixed(6)}}`,
  );
}

export interface Alert {
  reading: GuideReading;
  inference: number;
  model: string;
  /** ms since 1970 */
  time: number;
}

/**
 * The level 2 result for another board's reading. A long model name is truncated, so that clients with small buffers
 * can receive the message.
 */
export function level2Message(id: string, { reading, inference, model, time }: Alert): Buffer {
  const text = (name: string) =>
    Buffer.from(
      `{${memberText(id, reading)}, "inference": ${inference.toFixed(6)}, "model": ${JSON.stringify(name)}, "time": ${time}}`,
    );
  const over = text(model).length - longestGuideMessage;
  return over > 0 ? text(model.slice(over)) : text(model);
}

function memberText(id: string, reading: GuideReading): string {
  const numbers = guideFields.map((field) => `"${field}": ${reading[field].toFixed(2)}`);
  return [`"deviceID": ${JSON.stringify(id)}`, ...numbers].join(', ');
}

/** Parses another board's reading; null if the reading is invalid or longer than a board accepts. */
export function readSensorMessage(payload: Uint8Array): { id: string; reading: GuideReading } | null {
  const value = objectOf(payload);
  const [current, temperature, vibration, sound] = guideFields.map((field) => value?.[field]);
  const id = value?.deviceID;
  if (typeof id !== 'string' || id === '') return null;
  if (!isNumber(current) || !isNumber(temperature) || !isNumber(vibration) || !isNumber(sound)) return null;
  return { id, reading: { current, temperature, vibration, sound } };
}

/**
 * Parses a control message; null if a board must ignore the message because it is too long, not JSON, or lacks a
 * command or a text payload.
 */
export function readControl(payload: Uint8Array): { command: string; payload: string } | null {
  const value = objectOf(payload);
  if (typeof value?.command !== 'string' || typeof value.payload !== 'string') return null;
  return { command: value.command, payload: value.payload };
}

function objectOf(payload: Uint8Array): Record<string, unknown> | null {
  if (payload.length > longestGuideMessage) return null;
  const value = parsedJson(Buffer.from(payload));
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}
