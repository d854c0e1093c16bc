import { systemClock } from '../../core/index.js';
import type { SampleField, SourceFaults } from '../../sensor/index.js';
import type { Rates } from '../types.js';
import { openSensing } from './open.js';
import type { SensingEvent, SensingOptions } from './types.js';

/** What a sensor is like, looked at for a while. */
export interface MeasuredSensor extends Rates {
  endpoint: string;
  fields: readonly SampleField[];
  /** Hz that the model takes; 1 where it takes any. */
  contractHz: number;
  /** How long it was listened to, s. */
  seconds: number;
  /** The newest sample, in the contract's fields and units; null when none came. */
  newest: number[] | null;
  faults: Readonly<SourceFaults>;
  /** What happened meanwhile. */
  events: SensingEvent[];
}

/**
 * Opens a sensor, listens for some seconds or until it ends, and closes it.
 * @throws as `openSensing`
 */
export async function measureSensor(options: SensingOptions, seconds: number): Promise<MeasuredSensor> {
  const { clock = systemClock, onEvent } = options;
  const events: SensingEvent[] = [];
  const sensing = await openSensing({
    ...options,
    onEvent(event) {
      events.push(event);
      onEvent?.(event);
    },
  });
  const began = clock.monotonic?.() ?? clock.now();
  const over = new AbortController();
  const end = options.signal ? AbortSignal.any([options.signal, over.signal]) : over.signal;
  const timer = clock.sleep(seconds * 1000, end).then(
    () => sensing.close(),
    () => sensing.close(),
  );
  let newest: number[] | null = null;
  try {
    for await (const { values, count } of sensing) {
      const width = sensing.fields.length;
      newest = Array.from(values.subarray((count - 1) * width, count * width));
    }
  } finally {
    over.abort();
    await timer;
  }
  return {
    endpoint: sensing.endpoint,
    fields: sensing.fields,
    contractHz: sensing.rateHz,
    seconds: ((clock.monotonic?.() ?? clock.now()) - began) / 1000,
    ...sensing.rates(),
    newest,
    faults: { ...sensing.faults },
    events,
  };
}
