import { AiotError } from '../../../core/index.js';
import type { Activation } from '../../../formats/index.js';
import { quantizeMultiplier } from '../../../runtime/index.js';
import { type Helper, rangeOf, type Site, scaleOf, signed, table } from './piece.js';

/** How sums of a layer with weights become its outputs. */
export interface Finish {
  constants: string[];
  helpers: Helper[];
  /** The output of channel `o` from its sum. */
  text(sum: string, o: string): string;
}

/**
 * Ratios of all output channels as tables, or as literals where all are the same; bias with the input's zero point folded
 * into it: with it Σ w·(x − z) is Σ w·x.
 * @param channelOf the output channel of each weight
 * @throws AIOT_QUANTIZE_UNFIT when a sum could leave int32
 */
export function finishOf(
  site: Site,
  channels: number,
  channelOf: (weight: number) => number,
  activation: Activation,
): Finish {
  const [x, weights] = [site.input(0), site.input(1)];
  const { low, high } = rangeOf(site.output, activation);
  const { zeroPoint } = scaleOf(site.output);
  const [multipliers, shifts] = ratiosOf(site, channels);
  const down = shifts.every((shift) => shift < 0);
  const given = down ? shifts.map((shift) => -shift - 1) : shifts;
  const constants = [
    table('int32_t', site.own('bias'), foldedBias(site, channels, channelOf, scaleOf(x).zeroPoint)),
  ];
  const listed = (type: string, name: string, values: number[]) => {
    if (values.every((value) => value === values[0])) return () => signed(values[0]!);
    constants.push(table(type, site.own(name), values));
    return (o: string) => `${site.own(name)}[${o}]`;
  };
  const multiplier = listed('int32_t', 'multiplier', multipliers);
  const shift = listed('int8_t', 'shift', given);
  if (site.table !== null) constants.push(table('int8_t', site.own('table'), byByte(site.table)));
  constants.push(table('int8_t', site.own('weights'), weights.data as Int8Array));
  return {
    constants,
    helpers: [down ? 'scaledDown' : 'scaled', 'clamped'],
    text: (sum, o) => {
      const scaled = `${down ? 'scaled_down' : 'scaled'}(${sum}, ${multiplier(o)}, ${shift(o)})`;
      const value = `clamped(${scaled} + ${signed(zeroPoint)}, ${low}, ${high})`;
      return site.table === null ? value : `${site.own('table')}[(uint8_t)${value}]`;
    },
  };
}

/** A table over −128 … 127 in the order of the bytes. */
export function byByte(values: Int8Array): Int8Array {
  return Int8Array.from(values, (_, byte) => values[(byte + 128) % 256]!);
}

function ratiosOf(site: Site, channels: number): [multipliers: number[], shifts: number[]] {
  const scales = site.input(1).quantization!.scale;
  const [input, output] = [scaleOf(site.input(0)).scale, scaleOf(site.output).scale];
  const ratios = Array.from({ length: channels }, (_, channel) =>
    quantizeMultiplier((input * scales[scales.length === 1 ? 0 : channel]!) / output),
  );
  return [ratios.map(({ multiplier }) => multiplier), ratios.map(({ shift }) => shift)];
}

function foldedBias(
  site: Site,
  channels: number,
  channelOf: (weight: number) => number,
  zeroPoint: number,
): Int32Array {
  const bias = site.graph.tensors[site.operator.inputs[2] ?? -1]?.data as Int32Array | undefined;
  const weights = site.input(1).data as Int8Array;
  const sums = new Float64Array(channels);
  const most = new Float64Array(channels);
  weights.forEach((weight, at) => {
    sums[channelOf(at)]! += weight;
    most[channelOf(at)]! += Math.abs(weight) * 128;
  });
  return Int32Array.from({ length: channels }, (_, channel) => {
    const value = (bias?.[channel] ?? 0) - zeroPoint * sums[channel]!;
    // Signed sums that overflow have no meaning in C (C11, 6.5).
    if (Math.abs(value) + most[channel]! > 2147483647)
      throw new AiotError(
        'AIOT_QUANTIZE_UNFIT',
        `operator ${site.at} (${site.operator.op}): sums of output channel ${channel} could leave int32`,
        { next: 'A bias this large comes of a broken network; quantize it anew: aiot model quantize' },
      );
    return value;
  });
}
