import type { Clock } from '../../core/time.js';
import type { I2cBus } from '../../sensor/i2c/bus.js';
import type { SampleSource } from '../../sensor/types.js';
import type { SensorAddress } from './address.js';
import type { Incoming, RawSource, Tell } from './types.js';

export const machineSchemes = ['i2c', 'iio', 'alsa', 'w1'] as const;

export interface MachineParts {
  clock: Clock;
  signal: AbortSignal;
  tell: Tell;
  /** Replacement for the machine's own bus. */
  bus?: I2cBus;
}

/**
 * Opens a local sensor: a chip on an I²C bus, a device of Linux's Industrial I/O, a microphone, or a 1-wire thermometer. @throws the errors
 * of opening it
 */
export async function openMachine(address: SensorAddress, parts: MachineParts): Promise<RawSource> {
  const { clock, signal, tell, bus } = parts;
  const { openI2c, openIio, openMicrophone, openThermometer, parseSensorUrl } = await import(
    '../../sensor/index.js'
  );
  if (address.scheme === 'iio') return withTiming(await openIio(address.url, { clock }), {});
  if (address.scheme === 'w1')
    return withTiming(await openThermometer(address.url, { clock }), { sure: true });
  if (address.scheme === 'alsa')
    return withTiming(await openMicrophone(address.url, { clock }), { sure: true });
  const source = await openI2c(parseSensorUrl(address.url), {
    clock,
    signal,
    ...(bus ? { bus } : {}),
    onState(state, error) {
      if (state === 'connected') tell('found', `${source.endpoint} is available again`);
      else tell('lost', `${source.endpoint} was disconnected: ${error?.message ?? 'no response'}`);
    },
  });
  for (const caution of source.cautions) tell('caution', caution);
  return withTiming(source, { sure: true, steady: true });
}

/** @param known `sure`: the source itself counts missing samples, so its times are not checked for gaps */
function withTiming(
  source: SampleSource & { readonly connected?: boolean },
  known: Pick<Incoming, 'sure' | 'steady'>,
): RawSource {
  async function* batches(): AsyncGenerator<Incoming> {
    for await (const batch of source) yield { ...batch, ...known };
  }
  return {
    endpoint: source.endpoint,
    fields: source.fields,
    rateHz: source.rateHz,
    timing: 'own',
    get connected() {
      return source.connected ?? true;
    },
    get faults() {
      return source.faults;
    },
    [Symbol.asyncIterator]: () => batches(),
    close: () => source.close(),
  };
}
