import { AiotError, systemClock } from '../../core/index.js';
import { parseStreamUrl, requireScheme } from '../../stream/index.js';
import type { Sensing } from '../types.js';
import { parseAddress, type SensorAddress } from './address.js';
import { createTeller } from './events.js';
import type { FieldSettings } from './fields/map.js';
import { openMessages } from './messages/source.js';
import { type SensingPorts, sensingOf } from './sensing.js';
import { openAgain } from './source/again.js';
import { openListener } from './source/listen.js';
import { machineSchemes, openMachine } from './source/machine.js';
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
  const monotonicMs = () => clock.monotonic?.() ?? clock.now();
  const ports: SensingPorts = { clock, monotonicMs, tell: createTeller(clock, monotonicMs, options.onEvent) };
  if (sensor === undefined) return openMadeUp(options, ports);
  const address = parseAddress(sensor);
  const { source, fields } = await openRaw(address, options, ports);
  return closedUnless(source, () => sensingOf(source, { ...address, fields }, contract, ports));
}

async function openMadeUp(options: SensingOptions, ports: SensingPorts): Promise<Sensing> {
  const { simulate, contract } = options;
  if (!simulate) throw new AiotError('AIOT_SENSOR_MISSING', 'no sensor is named');
  const { openSimulated } = await import('./simulate/open.js');
  const { source, fields, clock } = await openSimulated(simulate, contract, {
    ...ports,
    signal: stopOf(options),
  });
  const own = { ...ports, clock, monotonicMs: () => clock.monotonic?.() ?? clock.now() };
  return sensingOf(source, { ...parseAddress('i2c:'), fields }, contract, own);
}

/** What is open is closed when nothing can be made of it. */
async function closedUnless<T>(source: RawSource, use: () => T): Promise<T> {
  try {
    return use();
  } catch (error) {
    await source.close();
    throw error;
  }
}

function stopOf({ signal }: SensingOptions): AbortSignal {
  return signal ?? new AbortController().signal;
}

/** The source, and how its fields are named: messages are read by the contract's own names. */
async function openRaw(
  address: SensorAddress,
  options: SensingOptions,
  { clock, monotonicMs, tell }: SensingPorts,
): Promise<{ source: RawSource; fields: FieldSettings }> {
  const { contract, baseFolder, stream } = options;
  const signal = stopOf(options);
  if (address.scheme === 'file' && isCsv(address)) {
    const source = await openReplay({ address, contract, clock, folder: baseFolder, signal });
    return { source, fields: address.fields };
  }
  const again = { clock, signal, tell, patient: options.patient ?? false };
  if (machineSchemes.some((scheme) => scheme === address.scheme)) {
    const source = await openAgain(() => openMachine(address, { clock, signal, tell }), again);
    return { source, fields: address.fields };
  }
  const messages = { address, contract, stream, signal, monotonicMs, wallMs: () => clock.now(), tell };
  if (address.scheme === 'tcp') {
    return { source: await openListener(messages), fields: { map: {}, units: {} } };
  }
  requireReadable(address.url);
  const open = () => openMessages(messages);
  // A file or a pipe that is damaged is so the next time too.
  const source = await (['file', 'stdin'].includes(address.scheme) ? open() : openAgain(open, again));
  return { source, fields: { map: {}, units: {} } };
}

/** @throws AIOT_SENSOR_URL */
function requireReadable(url: string): void {
  try {
    requireScheme(parseStreamUrl(url), 'source');
  } catch (cause) {
    if (!(cause instanceof AiotError) || cause.code !== 'AIOT_STREAM_SCHEME') throw cause;
    throw new AiotError('AIOT_SENSOR_URL', cause.message, {
      cause,
      next: `${cause.next}; or i2c:, iio:, alsa: for sensors of this machine, tcp: to listen`,
    });
  }
}

function isCsv({ url }: SensorAddress): boolean {
  return /\.csv$/i.test(url.replace(/\?.*$/, ''));
}
