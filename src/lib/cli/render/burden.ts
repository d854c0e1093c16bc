import type { Burden } from '../../sensor/burden.js';
import { bold } from './style.js';
import { facts } from './text.js';

/** A circuit for a current clamp, part by part. */
export function burdenText(burden: Burden): string {
  const { clamp, converter, bias, capacitor, nominalAmperes } = burden;
  const { low, high, bits, volts } = converter;
  const heat = `${bold(`take ${ohm(burden.ohms)}`)} (E24): ${unit(burden.watts, 'W')} of heat`;
  return facts([
    ['Clamp', `${clamp.amperes} A : ${unit(clamp.secondaryAmperes, 'A')}, ${short(clamp.turns)} turns`],
    ['Burden', `${ohm(burden.exactOhms, 4)} fits exactly; ${heat} at ${short(nominalAmperes)} A`],
    ['Full scale', `${unit(burden.fullScaleAmperes, 'A')} RMS: then the peaks reach ${low} and ${high} V`],
    ['Peaks', `${unit(burden.peakVolts, 'V')} either way at ${short(nominalAmperes)} A RMS`],
    ['Calibration', `${short(burden.amperesPerVolt, 4)} A per V`],
    ['One count', `${unit(burden.amperesPerCount, 'A')} (${bits} bits of ${volts} V)`],
    [
      'Bias',
      `${ohm(bias.upperOhms)} to ${volts} V, ${ohm(bias.lowerOhms)} to ground: ${unit(bias.volts, 'V')}, ${unit(bias.amperes, 'A')}`,
    ],
    [
      'Capacitor',
      `${unit(capacitor.farads, 'F', 2)} from there to ground: holds it still from ${unit(capacitor.cornerHz, 'Hz', 2)} on`,
    ],
  ]);
}

const prefixes: readonly [number, string][] = [
  [1e6, 'M'],
  [1e3, 'k'],
  [1, ''],
  [1e-3, 'm'],
  [1e-6, 'µ'],
];

/** 0.055 W → `55 mW` */
function unit(value: number, name: string, digits = 3): string {
  const [factor, prefix] = prefixes.find(([least]) => value >= least * 0.9995) ?? [1e-6, 'µ'];
  return `${short(value / factor, digits)} ${prefix}${name}`;
}

function ohm(value: number, digits = 3): string {
  return unit(value, 'Ω', digits);
}

function short(value: number, digits = 3): string {
  return String(value >= 10 ** digits ? Math.round(value) : Number(value.toPrecision(digits)));
}
