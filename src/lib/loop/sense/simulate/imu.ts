import { type Clock, type Random, seededRandom } from '../../../core/index.js';
import type { Recording } from '../../../data/index.js';
import type { I2cBus, SampleField, World } from '../../../sensor/index.js';
import { conversionOf, quantityOf } from '../fields/units.js';
import { createPlaylist, valueAt } from './playlist.js';

/** What the chips measure, in the order of their axes; and their units. */
const axes: Record<string, { names: readonly (keyof World)[]; unit: string }> = {
  acceleration: { names: ['ax', 'ay', 'az'], unit: 'g' },
  'angular rate': { names: ['gx', 'gy', 'gz'], unit: 'dps' },
  'magnetic flux density': { names: ['mx', 'my', 'mz'], unit: 'gauss' },
};

/** Rates of the LSM6DS3TR-C, Hz. */
const rates = [12.5, 26, 52, 104, 208, 416, 833, 1666, 3332, 6664];
const ranges = [2, 4, 8, 16];

export interface SimulatedImu {
  /** For `openI2c`. */
  url: string;
  bus: I2cBus;
  /** Contract's name → chip's. */
  map: Record<string, string>;
}

/** Axes of the chips for a contract's fields, in order; null when some are of another kind, or too many. */
export function axesFor(fields: readonly SampleField[]): (keyof World)[] | null {
  const used = new Map<string, number>();
  const found = fields.map(({ unit }) => {
    const quantity = quantityOf(unit) ?? '';
    const place = used.get(quantity) ?? 0;
    used.set(quantity, place + 1);
    return axes[quantity]?.names[place];
  });
  return found.length > 0 && found.every((name) => name !== undefined) ? found : null;
}

/**
 * An LSM6DS3TR-C (with an LIS3MDL where there is a magnetic field) on the simulated bus, which feels what the recordings say: all the
 * way from registers. Its rate is a per cent or two off, as real ones are.
 * @param recordings none = it hangs on a thread and sways
 */
export async function simulateImu(options: {
  fields: readonly SampleField[];
  recordings: readonly Recording[];
  rateHz: number;
  clock: Clock;
  seed: number;
  /** Read as seldom as its FIFO bears, where nobody waits for the samples. */
  seldom: boolean;
}): Promise<SimulatedImu> {
  const { fields, recordings, rateHz, clock, seed, seldom } = options;
  const { simulatedBus, swaying } = await import('../../../sensor/index.js');
  const names = axesFor(fields)!;
  const random = seededRandom(seed);
  const magnetic = names.some((name) => name.startsWith('m'));
  const turning = names.some((name) => name.startsWith('g'));
  const chips = magnetic ? ['lsm6ds3tr-c', 'lis3mdl'] : ['lsm6ds3tr-c'];
  const signal = recordings.length === 0 ? swaying : signalOf(fields, names, recordings, random);
  const rate = rates.find((each) => each >= rateHz) ?? rates.at(-1)!;
  const settings = {
    rate,
    range: rangeFor(fields, names, recordings),
    gyro: turning ? 2000 : 'off',
    selftest: 'off',
    ...(seldom ? { watermark: 512 } : {}),
  };
  const query = Object.entries(settings).map(([name, value]) => `${name}=${value}`);
  return {
    url: `i2c://sim/${chips.join(',')}?${query.join('&')}`,
    bus: simulatedBus({ chips, clock, signal, odrError: 0.98 + 0.04 * random(), seed }),
    map: Object.fromEntries(fields.map(({ name }, f) => [name, names[f]!])),
  };
}

function signalOf(
  fields: readonly SampleField[],
  names: readonly (keyof World)[],
  recordings: readonly Recording[],
  random: Random,
): (seconds: number, world: World) => void {
  const playlist = createPlaylist(recordings, random);
  const conversions = fields.map(({ unit }) => conversionOf(unit, axes[quantityOf(unit)!]!.unit)!);
  const places = new Map(
    recordings.map((recording) => [recording, fields.map(({ name }) => recording.fields.indexOf(name))]),
  );
  return (seconds, world) => {
    const { recording, place } = playlist.at(seconds);
    const columns = places.get(recording)!;
    for (let f = 0; f < names.length; f++) {
      const { scale, offset } = conversions[f]!;
      world[names[f]!] = valueAt(recording.columns[columns[f]!]!, place) * scale + offset;
    }
  };
}

/** The smallest range that holds what is in the recordings, ± g. */
function rangeFor(
  fields: readonly SampleField[],
  names: readonly (keyof World)[],
  recordings: readonly Recording[],
): number {
  let most = 0;
  names.forEach((name, f) => {
    if (!name.startsWith('a')) return;
    const { scale } = conversionOf(fields[f]!.unit, 'g')!;
    for (const { fields: of, columns } of recordings) {
      for (const value of columns[of.indexOf(fields[f]!.name)] ?? []) {
        most = Math.max(most, Math.abs(value * scale));
      }
    }
  });
  return ranges.find((range) => range >= most) ?? 16;
}
