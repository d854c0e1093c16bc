import { AiotError } from '../../core/errors.js';
import { hex } from '../../core/figures.js';
import { type Clock, systemClock } from '../../core/time.js';
import type { SensorUrl } from '../url.js';
import type { I2cBus } from './bus.js';
import type { ChipSetting, SelfTest } from './chip.js';
import { chipDrivers } from './chips/chips.js';
import { openBus, openI2c, readPlace } from './open.js';
import type { I2cSource } from './source.js';

interface ProbeStep {
  step: 'url' | 'bus' | 'chip' | 'self-test' | 'rate';
  /** `caution`: the step succeeded, but with a problem. */
  state: 'ok' | 'caution' | 'failed';
  /** The finding, as a sentence without its final period. */
  what: string;
  /** How to fix it; null if there is nothing to do. */
  next: string | null;
  /** Error code, if the step failed. */
  code: string | null;
}

interface I2cProbe {
  ok: boolean;
  steps: ProbeStep[];
  chips: { name: string; address: number; selfTest: SelfTest | null }[];
  /** Measured rate; null if the probe ended before the measurement. */
  rateHz: number | null;
}

interface ProbeOptions {
  clock?: Clock;
  bus?: I2cBus;
  /** Duration of the rate measurement, ms; default 1000. */
  forMs?: number;
}

/** Relative deviation from the nominal rate that exceeds the usual tolerance. */
const usualScatter = 0.06;

/**
 * Checks the prerequisites for reading chips, in order, up to the first failure: URL, bus, permissions, the chips and their
 * identities, self-tests, and sample rate. Errors with a code become part of the result.
 */
export async function probeI2c(url: SensorUrl, options: ProbeOptions = {}): Promise<I2cProbe> {
  const probe: I2cProbe = { ok: false, steps: [], chips: [], rateHz: null };
  const { clock = systemClock } = options;
  const say = (step: ProbeStep['step'], what: string) =>
    probe.steps.push({ step, state: 'ok', what, next: null, code: null });
  let step: ProbeStep['step'] = 'url';
  let bus: I2cBus | undefined;
  try {
    const place = readPlace(url);
    say(step, `reads ${place.chips.map(({ driver }) => driver.title).join(' and ')}`);
    step = 'bus';
    bus = options.bus ?? (await openBus(place, clock));
    say(step, `${bus.name} is accessible`);
    step = 'chip';
    const source = await openI2c(url, { clock, bus });
    probe.chips = source.chips.map(({ name, address, selfTest }) => ({ name, address, selfTest }));
    for (const { title, address } of source.chips) say(step, `${title.split(',')[0]} at ${hex(address, 2)}`);
    step = 'self-test';
    tellTests(source, probe);
    step = 'rate';
    await measure(source, clock, options.forMs ?? 1000, probe);
  } catch (error) {
    if (!(error instanceof AiotError)) throw error;
    const { code, message, next } = error;
    const told = step === 'chip' && code === 'AIOT_SENSOR_FAILED' ? 'self-test' : step;
    probe.steps.push({ step: told, state: 'failed', what: message, next, code });
  } finally {
    if (!options.bus) await bus?.close();
  }
  probe.ok = probe.steps.every(({ state }) => state !== 'failed');
  return probe;
}

function tellTests(source: I2cSource, probe: I2cProbe): void {
  for (const { title, selfTest } of source.chips)
    if (selfTest?.passed)
      probe.steps.push({
        step: 'self-test',
        state: 'ok',
        what: `the self-test of the ${title.split(',')[0]} passed`,
        next: null,
        code: null,
      });
  for (const caution of source.cautions) {
    const [what, ...next] = caution.split('. ');
    probe.steps.push({
      step: 'self-test',
      state: 'caution',
      what: what!,
      next: next.join('. ') || null,
      code: null,
    });
  }
}

/** Reads for a while, and summarizes the samples. */
async function measure(source: I2cSource, clock: Clock, forMs: number, probe: I2cProbe): Promise<void> {
  const now = () => clock.monotonic?.() ?? clock.now();
  const longestMs = Math.max(forMs, 5000 / source.rateHz) + 1500;
  const beganMs = now();
  const stop = new AbortController();
  // The measurement also ends if no samples arrive.
  const ended = clock.sleep(longestMs, stop.signal).then(
    () => source.close(),
    () => {},
  );
  let samples = 0;
  let lost = 0;
  let span: [number, number] | null = null;
  for await (const { count, times, lost: missing } of source) {
    samples += count;
    lost += missing;
    span = [span?.[0] ?? times[0]!, times[count - 1]!];
    if (now() - beganMs >= forMs && samples > 2) break;
  }
  stop.abort();
  await ended;
  if (!span || samples < 3)
    throw source.trouble ?? new AiotError('AIOT_SENSOR_LOST', `${source.endpoint}: no samples arrive`);
  const rateHz = ((samples - 1) * 1000) / (span[1] - span[0]);
  probe.rateHz = rateHz;
  const off = Math.abs(rateHz / source.rateHz - 1) > usualScatter;
  const { overruns, retries } = source.faults;
  const trouble = [
    ...(off ? [`${source.rateHz} were requested`] : []),
    ...(lost > 0 ? [`${lost} lost`] : []),
    ...(overruns > 0 ? [`${overruns} overruns`] : []),
    ...(retries > 0 ? [`${retries} transactions retried`] : []),
  ];
  probe.steps.push({
    step: 'rate',
    state: trouble.length > 0 ? 'caution' : 'ok',
    what: [`${rateHz.toFixed(2)} samples per second`, ...trouble].join(', '),
    next:
      retries > 0
        ? 'Use short wires with firm connections and 3.3 V pull-ups on SDA and SCL.'
        : lost > 0
          ? 'Choose a lower rate, or a faster bus: dtparam=i2c_arm_baudrate=400000'
          : null,
    code: null,
  });
}

/** A supported chip, for help and documentation. */
interface ChipDescription {
  name: string;
  title: string;
  /** Possible 7-bit addresses. */
  addresses: readonly number[];
  /** Default fields and rate, for a URL without settings. */
  fields: readonly { name: string; unit: string }[];
  rateHz: number;
  settings: readonly ChipSetting[];
}

/** All chips that have a driver. */
export function describeChips(): ChipDescription[] {
  return chipDrivers.map((driver) => {
    const { fields, rateHz } = readPlace({
      scheme: 'i2c',
      place: `sim/${driver.name}`,
      endpoint: `i2c:sim/${driver.name}`,
      query: {},
    }).chips[0]!.plan;
    const { name, title, addresses, settings } = driver;
    return { name, title, addresses, fields, rateHz, settings };
  });
}

/** Finds a chip by name, ignoring case and punctuation: `LSM6DS3TR-C` and `lsm6ds3trc` are the same. */
export function chipNamed(name: string): ChipDescription | undefined {
  const plain = (text: string) => text.toLowerCase().replaceAll(/[^a-z0-9]/g, '');
  return describeChips().find((chip) => plain(chip.name) === plain(name));
}
