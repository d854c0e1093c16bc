import { size } from '../../core/index.js';
import type { QuantizeResult } from '../../model/index.js';
import { yellow } from './style.js';
import { facts, table } from './text.js';

/** What became of a network: size, noise, each activation, what was tried, and what it costs. */
export function quantizationText(result: QuantizeResult): string {
  const { layers, notes, emitted, input } = result;
  const lines = table(
    ['operator', 'tensor', 'type', 'range by', 'scale', 'zero', 'SQNR dB'],
    layers.map(({ op, tensor, type, calibration, scale, zeroPoint, sqnrDb }) => [
      op,
      shortened(tensor),
      type,
      calibration,
      scale === null ? null : scale.toPrecision(4),
      zeroPoint,
      sqnrDb === null ? null : sqnrDb.toFixed(1),
    ]),
  );
  const share = Math.round((100 * result.bytes) / result.floatBytes);
  const told: [string, string | number][] = [
    [
      'Model',
      `${result.model}: ${size(result.floatBytes)} float → ${size(result.bytes)} ${result.mode} (${share} %)`,
    ],
    ['Operators', operatorsOf(result)],
  ];
  if (result.windows > 0) told.push(['Ranges', `from ${result.windows} rows`]);
  if (result.standardized && result.windows > 0)
    told.push(['Rows', 'standardized with the mean and deviation in the file']);
  if (result.sqnrDb !== null)
    told.push(['Output', `${result.sqnrDb.toFixed(1)} dB signal to quantization noise`]);
  if (input !== null)
    told.push(['Input', `${result.io}, scale ${input.scale.toPrecision(5)}, zero point ${input.zeroPoint}`]);
  if (result.arenaBytes !== null) {
    told.push([
      'Arena',
      `${size(result.arenaBytes)}, the smallest in which TFLite Micro works (64-bit), and 3 %`,
    ]);
  }
  told.push(...lossFacts(result), ['File', [result.file, ...emitted].join(', ')], ...edgeTpuFacts(result));
  const parts = [
    lines,
    stepsTable(result),
    facts(told),
    notes.map((note) => `${yellow('!')} ${note}`).join('\n'),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

function edgeTpuFacts({ edgetpu }: QuantizeResult): [string, string][] {
  if (edgetpu === undefined) return [];
  const listed = (on: boolean) =>
    edgetpu.ops
      .filter(({ onTpu }) => onTpu === on)
      .map(({ op, count }) => (count > 1 ? `${count} ${op}` : op));
  const left = listed(false);
  const where = `${listed(true).join(', ') || 'nothing'} on the TPU${left.length > 0 ? `; on the CPU ${left.join(', ')}` : ''}`;
  return [['Edge TPU', `${edgetpu.file} (${size(edgetpu.bytes)}): ${where}`]];
}

function lossFacts({ loss }: QuantizeResult): [string, string][] {
  if (loss === null) return [];
  const [low, high] = loss.interval;
  const limit = loss.limit === null ? '' : `, limit ${loss.limit}`;
  const doubt = loss.limit !== null && high > loss.limit ? '; the interval reaches beyond the limit' : '';
  const share = (value: number) => `${(100 * value).toFixed(2)} %`;
  return [
    [
      'Accuracy',
      `${share(loss.float)} float, ${share(loss.quantized)} quantized on ${loss.rows} rows${loss.calibrated ? ', the same that ranges are from: --evaluate takes others' : ''}`,
    ],
    ['Loss', `${loss.points} points (95 % interval ${low} to ${high}${limit})${doubt}`],
  ];
}

function stepsTable({ steps }: QuantizeResult): string {
  if (steps.length < 2) return '';
  return table(
    ['tried', 'loss (points)', '95 % interval', 'SQNR dB'],
    steps.map(({ did, points, interval, sqnrDb }) => [
      did,
      points,
      `${interval[0]} to ${interval[1]}`,
      sqnrDb,
    ]),
  );
}

/** `4 × FULLY_CONNECTED v4, LOGISTIC v2` */
function operatorsOf({ ops }: QuantizeResult): string {
  const counts = new Map<string, number>();
  for (const { op, version } of ops)
    counts.set(`${op} v${version}`, (counts.get(`${op} v${version}`) ?? 0) + 1);
  return [...counts].map(([name, count]) => (count === 1 ? name : `${count} × ${name}`)).join(', ');
}

/** Names of converters are whole paths: their end tells most. */
function shortened(name: string): string {
  return name.length > 32 ? `…${name.slice(-31)}` : name;
}
