import { plural, thousands } from '../../core/figures.js';
import type { Reported } from '../../device/protocol/messages.js';
import { modelMemoryOf } from '../../model/bundle/board-memory.js';

/** A model's requirements for devices. */
export interface ModelNeeds {
  /** `name@version` */
  name: string;
  sequence: number;
  /** Minimum memory for models, bytes: while the model is active, and during its trial, when the active model is in memory too. */
  active: number;
  trial: number;
  /** Fields of one sample, and their rate in Hz; null = any rate. */
  fields: readonly string[];
  rateHz: number | null;
}

interface Candidate {
  name: string;
  type: string;
  reported: Pick<Reported, 'model' | 'memory' | 'sensor'> | null;
}

interface Unfit {
  /** Devices that reported less memory than the model needs, so they will reject it; null = none. */
  short: string | null;
  /** Devices whose type or sensor suggests that the model will not run, each as a sentence. */
  warnings: string[];
}

/** Maximum number of devices that a sentence names. */
const named = 3;

/**
 * Compares a model's requirements with the capabilities that devices report, or with those of their type. Devices that already run the
 * model are omitted.
 */
export function modelMisfits(needs: ModelNeeds, devices: readonly Candidate[]): Unfit {
  const others = devices.filter(({ reported }) => reported?.model?.sequence !== needs.sequence);
  const short = others.filter(({ reported }) => reported?.memory && !isEnough(needs, reported.memory));
  const doubtful = others.filter(({ type, reported }) => {
    const assumed = reported?.memory ? null : modelMemoryOf(type);
    return assumed !== null && !isEnough(needs, { bytes: assumed, free: assumed });
  });
  const deaf = others.filter(({ reported }) => reported?.sensor && sensorMisfit(needs, reported.sensor));
  return {
    short: short.length === 0 ? null : shortText(needs, short),
    warnings: [
      ...(doubtful.length === 0 ? [] : [doubtText(needs, doubtful)]),
      ...(deaf.length === 0 ? [] : [sensorText(needs, deaf)]),
    ],
  };
}

/**
 * Compares the secure version of firmware with the lowest that devices accept. `rollback`: devices that would reject it; null = none.
 */
export function firmwareMisfits(
  { name, secureVersion }: { name: string; secureVersion: number },
  devices: readonly { name: string; reported: Pick<Reported, 'firmware'> | null }[],
): { rollback: string | null; warnings: string[] } {
  const lowest = (device: (typeof devices)[number]) => device.reported?.firmware?.secureVersion ?? null;
  const above = devices.filter((device) => (lowest(device) ?? 0) > secureVersion);
  const silent = devices.filter(
    (device) => device.reported?.firmware?.release !== undefined && lowest(device) === null,
  );
  const require = above.length === 1 ? 'requires' : 'require';
  return {
    rollback:
      above.length === 0
        ? null
        : `${name} has the secure version ${secureVersion}, but ${plural(above.length, 'device')} ${require} a higher one: ${listed(above, (device) => `at least ${lowest(device)}`)}`,
    warnings:
      secureVersion === 0 || silent.length === 0
        ? []
        : [
            `AIOT_MANIFEST_MALFORMED is likely on ${plural(silent.length, 'device')} whose firmware does not support secure versions: deploy newer firmware with the secure version 0 first. Affected: ${listed(silent, ({ reported }) => reported?.firmware?.version ?? 'unknown')}`,
          ],
  };
}

function isEnough({ active, trial }: ModelNeeds, { bytes, free }: { bytes: number; free: number }): boolean {
  return active <= bytes && trial <= free;
}

function shortText(needs: ModelNeeds, devices: readonly Candidate[]): string {
  const list = listed(devices, ({ reported }) => {
    const { bytes = 0, free = 0 } = reported?.memory ?? {};
    return needs.active > bytes
      ? `has ${thousands(bytes)}`
      : `has ${thousands(free)} free beside its active model`;
  });
  return `${needText(needs)}, but ${plural(devices.length, 'device')} ${devices.length === 1 ? 'has' : 'have'} less: ${list}`;
}

function doubtText(needs: ModelNeeds, devices: readonly Candidate[]): string {
  const list = listed(devices, ({ type }) => `${type}: ${thousands(modelMemoryOf(type) ?? 0)}`);
  return `AIOT_MEMORY_SHORT is likely on ${plural(devices.length, 'device')} unless the firmware has a larger AIOT_MEMORY_BYTES: ${needText(needs)}, the default firmware has less: ${list}`;
}

function needText({ name, active, trial }: ModelNeeds): string {
  return `${name} needs at least ${thousands(active)} bytes of memory for models, and ${thousands(trial)} during its trial`;
}

/** Why a model cannot predict on a sensor's samples; null if it can. */
export function sensorMisfit(
  { fields, rateHz }: Pick<ModelNeeds, 'fields' | 'rateHz'>,
  sensor: NonNullable<Reported['sensor']>,
): string | null {
  const missing = fields.filter((field) => !sensor.fields.includes(field));
  if (missing.length > 0) return `sends ${sensor.fields.join(', ')} in ${sensor.stream}`;
  if (rateHz !== null && rateHz !== sensor.rate) return `sends ${sensor.stream} at ${sensor.rate} Hz`;
  return null;
}

function sensorText(needs: ModelNeeds, devices: readonly Candidate[]): string {
  const list = listed(
    devices,
    ({ reported }) => (reported?.sensor && sensorMisfit(needs, reported.sensor)) ?? '',
  );
  const rate = needs.rateHz === null ? '' : ` at ${needs.rateHz} Hz`;
  return `AIOT_RECORDING_UNFIT on ${plural(devices.length, 'device')}, which will commit ${needs.name} but predict nothing: it expects ${needs.fields.join(', ')}${rate}. Unfit: ${list}`;
}

function listed<Device extends { name: string }>(
  devices: readonly Device[],
  detail: (device: Device) => string,
): string {
  const first = devices.slice(0, named).map((device) => `${device.name} (${detail(device)})`);
  return first.join(', ') + (devices.length > named ? ', …' : '');
}
