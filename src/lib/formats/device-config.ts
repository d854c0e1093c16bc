import * as z from 'zod';
import { AiotError } from '../core/errors.js';
import { issueText } from '../core/issues.js';

/** Maximum size of a document, bytes. Devices read the whole document into memory. */
export const deviceConfigBytes = 2048;

const ms = z.int().min(0).max(86_400_000);
const threshold = z.number().min(-1e9).max(1e9);

/**
 * Device settings that an operator can change without updating the firmware or the model. See docs/reference/protocol.md, "Configuration".
 * The firmware's parser is firmware/core/src/device/config_read.c. Unknown members are rejected, because a partially applied configuration
 * is worse than none.
 */
export const deviceConfigSchema = z
  .strictObject({
    spec: z.literal('aiot-config/1'),
    /** Sample rate, Hz. Each sample is the mean of the values measured in its period. Absent = every sensor sample is used. */
    sampleHz: z.number().min(0.001).max(1e6).optional(),
    telemetry: z
      .strictObject({
        /** Whether samples are published. */
        publish: z.boolean().default(true),
        /** Period covered by one message's samples, ms. */
        intervalMs: z.int().min(10).max(60_000).default(1000),
      })
      .prefault({}),
    report: z
      .strictObject({
        /** How often `reported` is repeated even if nothing has changed, ms; 0 = never. */
        intervalMs: z.union([z.literal(0), z.int().min(1000).max(86_400_000)]).default(0),
      })
      .prefault({}),
    mqtt: z
      .strictObject({
        /** MQTT keep-alive interval: seconds without traffic before the device pings the broker. */
        keepAliveS: z.int().min(5).max(3600).default(30),
      })
      .prefault({}),
    /** How the device acts on its own predictions: an actuator with hysteresis, minimum durations, and a fail-safe position. */
    rule: z
      .strictObject({
        onAbove: threshold.default(0.8),
        offBelow: threshold.default(0.7),
        minOnMs: ms.default(5000),
        minOffMs: ms.default(5000),
        /** How long without a prediction until the actuator moves to its fail-safe position, ms. */
        lossMs: ms.min(100).default(30_000),
        safeOn: z.boolean().default(false),
      })
      .prefault({}),
  })
  .refine(({ rule }) => rule.offBelow <= rule.onAbove, {
    path: ['rule', 'offBelow'],
    message: 'expected at most rule.onAbove',
  });

export type DeviceConfig = z.output<typeof deviceConfigSchema>;

/** The default configuration. */
export const defaultDeviceConfig: DeviceConfig = deviceConfigSchema.parse({ spec: 'aiot-config/1' });

/** Parses a configuration. `what` is its name in errors. @throws AIOT_CONFIG_MALFORMED with the member and the expected value */
export function readDeviceConfig(bytes: Uint8Array, what: string): DeviceConfig {
  const malformed = (reason: string, cause?: unknown) =>
    new AiotError('AIOT_CONFIG_MALFORMED', `${what}: ${reason}`, { cause });
  if (bytes.length > deviceConfigBytes)
    throw malformed(`expected at most ${deviceConfigBytes} bytes, got ${bytes.length}`);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw malformed('expected JSON', error);
  }
  const config = deviceConfigSchema.safeParse(value);
  if (config.success) return config.data;
  throw malformed(issueText(config.error, 'configuration', value));
}

/** Number of sensor samples averaged into one; null = the sensor's rate is not a multiple of the configured one. */
export function sampleGroup({ sampleHz }: DeviceConfig, sensorHz: number): number | null {
  if (sampleHz === undefined) return 1;
  const ratio = sensorHz / sampleHz;
  const whole = Math.floor(ratio + 0.5);
  return whole >= 1 && whole < 1e6 && Math.abs(ratio - whole) <= 1e-9 * ratio ? whole : null;
}
