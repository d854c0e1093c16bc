import { parseSensorUrl, probeI2c } from '../../../sensor/index.js';
import { parseAddress } from '../../sense/address.js';
import type { SensingOptions } from '../../sense/index.js';
import { type MeasuredSensor, measureSensor } from '../../sense/measure-sensor.js';
import { checkDevice, nodeOf } from './device.js';
import { type CheckLine, failed, failedBy, ok, warning } from './line.js';

/** How far a measured rate may be from the contract's before it is told: chips' own clocks are some percent off. */
const usualScatter = 0.1;

/** What a sensor of this machine has to be reached by: the permission, and of chips the bus, the addresses, the self-tests. */
export async function checkReach(sensor: string): Promise<CheckLine[]> {
  const node = nodeOf(sensor);
  const permission = node === undefined ? undefined : await checkDevice(node);
  const lines = permission ? [permission] : [];
  if (!/^i2c:/i.test(sensor) || permission?.state === 'failed') return lines;
  try {
    const probe = await probeI2c(parseSensorUrl(parseAddress(sensor).url));
    for (const { step, state, what, next } of probe.steps) {
      if (step === 'url' && state === 'ok') continue;
      const check = names[step];
      if (state === 'failed')
        lines.push(failed(check, what, next ?? 'Look at the wires, and at aiot loop check once more.'));
      else
        lines.push(
          state === 'ok'
            ? ok(check, what)
            : warning(check, what, next ?? 'It works; look at it when you can.'),
        );
    }
  } catch (error) {
    lines.push(failedBy('sensor', error));
  }
  return lines;
}

const names = { url: 'sensor', bus: 'bus', chip: 'address', 'self-test': 'self-test', rate: 'rate' } as const;

/** Listens for a while, as the loop would. @returns also what the measurement has to say against it */
export async function checkRate(options: SensingOptions, seconds: number): Promise<CheckLine[]> {
  try {
    return linesOf(await measureSensor(options, seconds), options.contract.rateHz);
  } catch (error) {
    return [failedBy('rate', error)];
  }
}

/** @param contractHz null where a sample is a window of its own */
export function linesOf(measured: MeasuredSensor, contractHz: number | null): CheckLine[] {
  const { endpoint, samples, lost, rateHz, jitterP99Ms, newest, fields, seconds } = measured;
  if (samples === 0 || newest === null) {
    const none = `${endpoint} gave no samples in ${seconds.toFixed(1)} s`;
    return [failed('rate', none, 'Is it switched on, and does anything come? aiot loop run shows it live.')];
  }
  const values = fields.map(({ name, unit }, i) => `${name} ${newest[i]?.toPrecision(3)} ${unit}`.trim());
  const lines = [ok('sensor', `${endpoint}: ${values.join(', ')}`)];
  const figures = `${rateHz?.toFixed(2) ?? '?'} samples a second, jitter p99 ${jitterP99Ms?.toFixed(2) ?? '?'} ms`;
  if (lost > 0) {
    lines.push(
      warning(
        'rate',
        `${figures}, ${lost} lost`,
        'Choose a lower rate, a faster bus, or end what else keeps this machine busy.',
      ),
    );
  } else if (contractHz !== null && rateHz !== null && Math.abs(rateHz / contractHz - 1) > usualScatter) {
    const what = `${figures}; the model takes ${contractHz}`;
    lines.push(
      rateHz < contractHz
        ? warning(
            'rate',
            what,
            `It is resampled, but what is faster than ${(rateHz / 2).toFixed(0)} Hz is missing: set the sensor to ${contractHz} or more.`,
          )
        : warning(
            'rate',
            what,
            `It is resampled. rate=${contractHz} in the address would spare that, where the sensor can.`,
          ),
    );
  } else lines.push(ok('rate', figures));
  return lines;
}
