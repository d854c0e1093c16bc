import { AiotError, systemClock } from '../../core/index.js';
import type { Sensing } from '../types.js';
import { parseAddress, type SensorAddress } from './address.js';
import { createTeller } from './events.js';
import { type SensingPorts, sensingOf } from './sensing.js';
import { openReplay } from './source/replay.js';
import type { RawSource, SensingOptions } from './types.js';

/**
 * Opens any sensor as samples in the contract's fields, units and rate.
 *
 * `i2c:`, `iio:` and `alsa:` are this machine's; `file:X.csv` is a replay; `tcp://:PORT` listens; all other addresses are those of
 * `aiot stream`, whose messages are samples. It goes on across losses: a sensor that is unplugged is opened again when it is back.
 * @throws AIOT_SENSOR_MISSING, AIOT_SENSOR_URL, AIOT_SENSOR_UNFIT, and what opening throws; while reading, what cannot be mended
 */
export async function openSensing(options: SensingOptions): Promise<Sensing> {
  const { sensor, contract, clock = systemClock } = options;
  const monotonicMs =
    options.monotonicMs ?? (clock === systemClock ? () => performance.now() : () => clock.now());
  const ports: SensingPorts = { clock, monotonicMs, tell: createTeller(clock, monotonicMs, options.onEvent) };
  if (sensor === undefined) throw new AiotError('AIOT_SENSOR_MISSING', 'no sensor is named');
  const address = parseAddress(sensor);
  return sensingOf(await openRaw(address, options, ports), address, contract, ports);
}

async function openRaw(
  address: SensorAddress,
  { contract, signal, baseFolder }: SensingOptions,
  { clock }: SensingPorts,
): Promise<RawSource> {
  const stop = signal ?? new AbortController().signal;
  if (address.scheme === 'file' && /\.csv$/i.test(address.url.replace(/\?.*$/, ''))) {
    return openReplay({ address, contract, clock, folder: baseFolder, signal: stop });
  }
  throw new AiotError('AIOT_SENSOR_URL', `${address.scheme}: is no sensor`);
}
