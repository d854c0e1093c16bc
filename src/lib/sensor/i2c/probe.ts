import { AiotError } from '../../core/errors.js';
import { type Clock, systemClock } from '../../core/time.js';
import type { SensorUrl } from '../url.js';
import { hex, type I2cBus } from './bus.js';
import type { ChipSetting, SelfTest } from './chip.js';
import { chipDrivers } from './chips/chips.js';
import { openBus, openI2c, readPlace } from './open.js';
import type { I2cSource } from './source.js';

/** One thing that was looked at. */
interface ProbeStep {
  step: 'url' | 'bus' | 'chip' | 'self-test' | 'rate';
  /** `caution`: it works, and is not as it should be. */
  state: 'ok' | 'caution' | 'failed';
  /** A sentence without its end. */
  what: string;
  /** What to do; null where there is nothing. */
  next: string | null;
  /** Code of the error, if the step failed. */
  code: string | null;
}

interface I2cProbe {
  ok: boolean;
  steps: ProbeStep[];
  chips: { name: string; address: number; selfTest: SelfTest | null }[];
  /** Measured; null where it did not come to that. */
  rateHz: number | null;
}

interface ProbeOptions {
  clock?: Clock;
  bus?: I2cBus;
  /** How long the rate is measured; default 1000. */
  forMs?: number;
}

/** A rate so far from the nominal one is no usual scatter of parts. */
const usualScatter = 0.06;

/**
 * Looks at everything that reading chips needs, in the order in which it is needed, up to the first that fails: the URL, the bus and
 * the permission to use it, the chips and who they say they are, their self-tests, and the rate at which samples come. Throws
 * nothing that has a code: that is the result.
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
    say(step, `${bus.name} is there and may be used`);
    step = 'chip';
    const source = await openI2c(url, { clock, bus });
    probe.chips = source.chips.map(({ name, address, selfTest }) => ({ name, address, selfTest }));
    for (const { title, address } of source.chips) say(step, `${title.split(',')[0]} at ${hex(address)}`);
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
        what: `${title.split(',')[0]} moves as it should`,
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

/** Reads for a while, and tells what came. */
async function measure(source: I2cSource, clock: Clock, forMs: number, probe: I2cProbe): Promise<void> {
  const now = () => clock.monotonic?.() ?? clock.now();
  const longestMs = Math.max(forMs, 5000 / source.rateHz) + 1500;
  const beganMs = now();
  const stop = new AbortController();
  // Ends also where nothing comes at all.
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
    throw source.trouble ?? new AiotError('AIOT_SENSOR_LOST', `${source.endpoint}: it gives no samples`);
  const rateHz = ((samples - 1) * 1000) / (span[1] - span[0]);
  probe.rateHz = rateHz;
  const off = Math.abs(rateHz / source.rateHz - 1) > usualScatter;
  const { overruns, retries } = source.faults;
  const trouble = [
    ...(off ? [`${source.rateHz} were asked for`] : []),
    ...(lost > 0 ? [`${lost} lost`] : []),
    ...(overruns > 0 ? [`${overruns} overruns`] : []),
    ...(retries > 0 ? [`${retries} transactions tried again`] : []),
  ];
  probe.steps.push({
    step: 'rate',
    state: trouble.length > 0 ? 'caution' : 'ok',
    what: [`${rateHz.toFixed(2)} samples a second`, ...trouble].join(', '),
    next:
      retries > 0
        ? 'Check the wires: short, well seated, and with pull-ups to 3.3 V on SDA and SCL.'
        : lost > 0
          ? 'Choose a lower rate, or a faster bus: dtparam=i2c_arm_baudrate=400000'
          : null,
    code: null,
  });
}

/** A chip that can be read, for help and documents. */
interface ChipDescription {
  name: string;
  title: string;
  /** 7 bits. */
  addresses: readonly number[];
  /** Of a URL without settings. */
  fields: readonly { name: string; unit: string }[];
  rateHz: number;
  settings: readonly ChipSetting[];
}

/** Every chip that there is a driver of. */
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

/** The chip of a name, however it is written: `LSM6DS3TR-C` and `lsm6ds3trc` are one. */
export function chipNamed(name: string): ChipDescription | undefined {
  const plain = (text: string) => text.toLowerCase().replaceAll(/[^a-z0-9]/g, '');
  return describeChips().find((chip) => plain(chip.name) === plain(name));
}
