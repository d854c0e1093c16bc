import * as z from 'zod';
import { AiotError } from '../core/errors.js';

/** A circuit that connects a current clamp to a converter. Resistances are in ohms, and currents are RMS unless stated otherwise. */
export const burdenSchema = z.object({
  clamp: z.object({ amperes: z.number(), secondaryAmperes: z.number(), turns: z.number() }),
  /** The largest current to measure, A. */
  nominalAmperes: z.number(),
  /** Usable input range of the converter in volts, and its resolution in bits. */
  converter: z.object({
    volts: z.number(),
    low: z.number(),
    high: z.number(),
    bits: z.int(),
    voltsPerCount: z.number(),
  }),
  /** Burden resistance at which the peaks exactly fit the converter's range, and the E24 value at or below it, for soldering. */
  exactOhms: z.number(),
  ohms: z.number(),
  /**
   * Values that result from the burden `ohms`: A per V; the maximum RMS current with peaks inside the range; and the heat at the nominal
   * current, W.
   */
  amperesPerVolt: z.number(),
  fullScaleAmperes: z.number(),
  watts: z.number(),
  /** Peak above the bias at the nominal current, V. */
  peakVolts: z.number(),
  /** Instantaneous current per count, A. */
  amperesPerCount: z.number(),
  /**
   * Bias divider, from the supply to the midpoint and from there to ground, with the voltage at the midpoint and the current through both
   * resistors, A.
   */
  bias: z.object({
    upperOhms: z.number(),
    lowerOhms: z.number(),
    volts: z.number(),
    amperes: z.number(),
  }),
  /** Capacitor from the midpoint to ground, and the frequency above which it keeps the midpoint steady, Hz. */
  capacitor: z.object({ farads: z.number(), cornerHz: z.number() }),
});

export type Burden = z.output<typeof burdenSchema>;

interface BurdenOptions {
  clamp: Clamp;
  /** Largest current to measure, A RMS; absent = the clamp's maximum. */
  nominalAmperes?: number | undefined;
  /** Supply voltage of the bias divider, and the voltage of the highest count. */
  volts: number;
  /** Range in which the converter is accurate, V; absent = 0 to `volts`. */
  range?: { low: number; high: number } | undefined;
  bits: number;
}

/** Ohms from the midpoint to ground. The divider draws little current, and its resistance is low compared with the converter's input. */
const lowerOhms = 10_000;

/** Maximum corner frequency of the bias, Hz. It is well below the mains frequency, so the bias stays steady at that frequency. */
const cornerHzAtMost = 5;

const farads = [1e-6, 2.2e-6, 4.7e-6, 10e-6, 22e-6, 47e-6, 100e-6];

/**
 * Calculates the burden of a current clamp and its bias. R = (swing / 2) · turns / (√2 · amperes), rounded down to a standard value,
 * because with a smaller resistor the peaks still fit.
 * @throws AIOT_CLAMP_UNFIT, AIOT_USAGE
 */
export function burdenOf({ clamp, volts, bits, ...options }: BurdenOptions): Burden {
  const nominalAmperes = options.nominalAmperes ?? clamp.amperes;
  const { low, high } = options.range ?? { low: 0, high: volts };
  const problem = problemOf({ volts, low, high, bits, nominalAmperes });
  if (problem !== null) throw new AiotError('AIOT_USAGE', problem);
  if (nominalAmperes > clamp.amperes)
    throw new AiotError(
      'AIOT_CLAMP_UNFIT',
      `a clamp for ${clamp.amperes} A cannot measure ${nominalAmperes} A, because its core saturates`,
      { next: `Use a clamp for ${nominalAmperes} A or more.` },
    );
  const { turns } = clamp;
  const half = (high - low) / 2;
  const exactOhms = (half * turns) / (Math.SQRT2 * nominalAmperes);
  const ohms = e24Below(exactOhms);
  if (ohms === null)
    throw new AiotError(
      'AIOT_CLAMP_UNFIT',
      `no standard resistor has a value near ${exactOhms.toPrecision(3)} Ω`,
      {
        next: 'Check --clamp, --turns and --nominal. For small currents, pass the wire through the clamp several times.',
      },
    );
  const amperesPerVolt = turns / ohms;
  const voltsPerCount = volts / (2 ** bits - 1);
  return {
    clamp,
    nominalAmperes,
    converter: { volts, low, high, bits, voltsPerCount },
    exactOhms,
    ohms,
    amperesPerVolt,
    fullScaleAmperes: (half * amperesPerVolt) / Math.SQRT2,
    watts: (nominalAmperes / turns) ** 2 * ohms,
    peakVolts: (Math.SQRT2 * nominalAmperes) / amperesPerVolt,
    amperesPerCount: voltsPerCount * amperesPerVolt,
    ...biasOf(volts, (low + high) / 2),
  };
}

/** The divider that is nearest to the desired midpoint, and the smallest capacitor that keeps the midpoint steady. */
function biasOf(volts: number, middle: number): Pick<Burden, 'bias' | 'capacitor'> {
  const upperOhms = e24Near((lowerOhms * (volts - middle)) / middle);
  const parallel = (upperOhms * lowerOhms) / (upperOhms + lowerOhms);
  const corner = (farad: number) => 1 / (2 * Math.PI * parallel * farad);
  const chosen = farads.find((farad) => corner(farad) <= cornerHzAtMost) ?? farads.at(-1) ?? 0;
  return {
    bias: {
      upperOhms,
      lowerOhms,
      volts: (volts * lowerOhms) / (upperOhms + lowerOhms),
      amperes: volts / (upperOhms + lowerOhms),
    },
    capacitor: { farads: chosen, cornerHz: corner(chosen) },
  };
}

function problemOf(given: {
  volts: number;
  low: number;
  high: number;
  bits: number;
  nominalAmperes: number;
}) {
  const { volts, low, high, bits, nominalAmperes } = given;
  if (!(volts > 0 && volts <= 24)) return `--volts: expected more than 0 and at most 24 V, got ${volts}`;
  if (!(low >= 0 && low < high && high <= volts))
    return `--range: expected LOW-HIGH within 0 to ${volts} V, low below high, got ${low}-${high}`;
  if (!Number.isInteger(bits) || bits < 6 || bits > 24)
    return `--adc-bits: expected 6 to 24 bits, got ${bits}`;
  if (!(nominalAmperes > 0 && nominalAmperes <= 10_000))
    return `--nominal: expected more than 0 A, got ${nominalAmperes}`;
  return null;
}

/** Standard two-digit resistor values, ±5 %. Source: IEC 60063, series E24. */
const series = [
  10, 11, 12, 13, 15, 16, 18, 20, 22, 24, 27, 30, 33, 36, 39, 43, 47, 51, 56, 62, 68, 75, 82, 91,
];

/** The commonly available values of the series: 1 Ω to 910 kΩ. */
const values = [0, 1, 2, 3, 4, 5].flatMap((decade) => series.map((two) => (two * 10 ** decade) / 10));

/** Factor that allows for rounding errors in calculated values that should equal a standard value. */
const rounding = 1 + 1e-9;

/** The largest E24 value at or below `ohms`; null if there is none from 1 Ω to 910 kΩ. */
function e24Below(ohms: number): number | null {
  if (!(ohms < 1e6)) return null;
  return values.findLast((value) => value <= ohms * rounding) ?? null;
}

/** The E24 value from 1 Ω to 910 kΩ that is nearest to `ohms` by ratio. */
function e24Near(ohms: number): number {
  const away = (value: number) => Math.abs(Math.log(value / ohms));
  return values.reduce((best, value) => (away(value) < away(best) ? value : best));
}

/** A current transformer without a burden: its maximum current, the secondary current at that point (A RMS), and its turns ratio. */
export interface Clamp {
  amperes: number;
  secondaryAmperes: number;
  turns: number;
}

const pattern = /^(\d+(?:\.\d+)?) ?A ?[:/] ?(\d+(?:\.\d+)?) ?(mA|A|mV|V)$/;

/**
 * Parses the rating printed on a clamp, such as `100A:50mA`.
 * @param turns as specified by the maker or another source; absent = the ratio of the two currents
 * @throws AIOT_CLAMP_UNFIT (its output is a voltage), AIOT_USAGE
 */
export function parseClamp(text: string, turns?: number): Clamp {
  const [, primary, secondary, unit] = pattern.exec(text) ?? [];
  const amperes = Number(primary);
  const output = Number(secondary);
  if (unit === 'V' || unit === 'mV') throw hasBurden(text, amperes, unit === 'V' ? output : output / 1000);
  const secondaryAmperes = unit === 'mA' ? output / 1000 : output;
  if (!(amperes > 0 && secondaryAmperes > 0 && secondaryAmperes < amperes))
    throw new AiotError(
      'AIOT_USAGE',
      `--clamp: expected two currents, the larger first, such as 100A:50mA, got "${text}"`,
    );
  if (turns !== undefined && !(turns >= 1 && turns <= 1_000_000))
    throw new AiotError('AIOT_USAGE', `--turns: expected 1 to 1000000, got ${turns}`);
  return { amperes, secondaryAmperes, turns: turns ?? round(amperes / secondaryAmperes) };
}

/** Removes floating-point errors, because 100 / 0.05 is not exactly an integer. */
function round(turns: number): number {
  return Number(turns.toPrecision(12));
}

function hasBurden(text: string, amperes: number, volts: number): AiotError {
  const perVolt = amperes > 0 && volts > 0 ? Number((amperes / volts).toPrecision(4)) : null;
  return new AiotError(
    'AIOT_CLAMP_UNFIT',
    `a clamp of ${text} has a voltage output and a built-in burden resistor`,
    {
      next:
        perVolt === null
          ? 'Use the ratings printed on the clamp, such as 100A:50mA.'
          : `Do not add a resistor. The calibration is ${perVolt} A per V: set firmware: { clamp: { turns: ${perVolt}, burden: 1 } } in aiot.yaml.`,
    },
  );
}
