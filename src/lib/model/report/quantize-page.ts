import { basename } from 'node:path';
import { percent, size, thousands } from '../../core/figures.js';
import { aiotVersion } from '../../core/folders.js';
import { type Html, html, htmlTable, reportPage } from '../../formats/html.js';
import { barChart, factList, histogram, legend, type Paint, tileRow } from '../../formats/html-charts.js';
import type { QuantizeDetail, Spread } from '../quantize/detail.js';
import type { QuantizeResult } from '../quantize/result.js';

/** Number of distributions drawn: those with the largest loss. */
const mostSpreads = 24;
/** Signal-to-noise ratios, in decibels, below which a tensor is considered poor, or worth checking. */
const [poor, fair] = [12, 20];

/** The loss from quantization as a self-contained HTML page. Without `detail` (no rows), it shows only information from the file. */
export function quantizePage(result: QuantizeResult, detail: QuantizeDetail | null): string {
  const { model, mode, windows, standardized } = result;
  const from = result.ops.some(({ op }) => op === 'FOREST')
    ? 'Decision trees, written unchanged.'
    : windows > 0
      ? `Calibrated on ${thousands(windows)} rows${standardized ? ', standardized with the mean and deviation in the file' : ''}.`
      : 'No calibration rows were given, so nothing was measured.';
  return reportPage({
    title: `${model}: float to ${mode}`,
    lead: `${basename(result.file)}. ${from}`,
    sections: [
      tiles(result, detail),
      sizes(result),
      layers(result, detail),
      detail && distributions(result, detail),
      detail && weights(detail),
      steps(result),
      notes(result),
      facts(result),
    ],
    aiot: aiotVersion(),
  });
}

function tiles(
  { bytes, floatBytes, mode, sqnrDb, loss, arenaBytes }: QuantizeResult,
  detail: QuantizeDetail | null,
) {
  const list: [string, string][] = [
    [`${mode} model`, size(bytes)],
    ["of the float model's size", percent(bytes / floatBytes, 0)],
  ];
  if (sqnrDb !== null && arenaBytes !== 0) list.push(['SQNR of the output', `${sqnrDb.toFixed(1)} dB`]);
  if (detail && detail.agreement !== null)
    list.push([`same class as float (${thousands(detail.rows)} rows)`, percent(detail.agreement)]);
  if (loss) list.push(['accuracy loss', `${loss.points} points`]);
  if (arenaBytes !== null) list.push(['memory on a chip (arena)', size(arenaBytes)]);
  return tileRow(list);
}

function sizes({ bytes, floatBytes, mode, loss }: QuantizeResult): Html {
  const chart = barChart({
    title: 'File size',
    bars: [
      { name: 'float', value: floatBytes, text: size(floatBytes), paint: 'soft' },
      { name: mode, value: bytes, text: size(bytes) },
    ],
  });
  if (!loss) return html`<h2>Before and after</h2><div class="pair">${chart}</div>`;
  const accuracy = barChart({
    title: 'Accuracy',
    note: `${thousands(loss.rows)} rows${loss.calibrated ? ', the same as for calibration' : ''}; loss of ${loss.points} points, 95 % interval ${loss.interval[0]} to ${loss.interval[1]}`,
    full: 1,
    bars: [
      { name: 'float', value: loss.float, text: percent(loss.float, 2), paint: 'soft' },
      { name: mode, value: loss.quantized, text: percent(loss.quantized, 2) },
    ],
  });
  return html`<h2>Before and after</h2><div class="pair">${chart}${accuracy}</div>`;
}

function layers({ layers: all }: QuantizeResult, detail: QuantizeDetail | null): Html {
  const spreads = spreadsOf(detail);
  const measured = all.filter(({ sqnrDb }) => sqnrDb !== null);
  const chart = barChart({
    title: 'Signal-to-quantization-noise ratio (SQNR)',
    note: 'dB relative to the float model; 6 dB is one bit',
    bars: measured.map(({ op, tensor, sqnrDb }) => ({
      name: op === 'input' ? ending(tensor) : `${op} ${ending(tensor)}`,
      value: Math.max(0, sqnrDb!),
      text: `${sqnrDb!.toFixed(1)} dB`,
      paint: paintOf(sqnrDb!),
    })),
  });
  const rows = all.map(({ op, tensor, type, calibration, scale, zeroPoint, sqnrDb }) => {
    const spread = spreads.get(tensor);
    return [
      ...[op, ending(tensor), type, calibration ?? '–'],
      scale === null ? '–' : scale.toPrecision(4),
      zeroPoint === null ? '–' : String(zeroPoint),
      spread?.range ? `${short(spread.range[0])} to ${short(spread.range[1])}` : '–',
      spread?.range ? percent(spread.clipped, 2) : '–',
      spread ? short(spread.error) : '–',
      sqnrDb === null ? '–' : sqnrDb.toFixed(1),
    ];
  });
  const head = [
    'Operator',
    'Tensor',
    'Type',
    'Range from',
    'Scale',
    'Zero point',
    'Range',
    'Clipped',
    'Largest error',
    'SQNR dB',
  ];
  return html`<h2>Quantization error per tensor</h2>${measured.length > 0 ? chart : null}${htmlTable(head, rows)}`;
}

function distributions({ layers: all }: QuantizeResult, detail: QuantizeDetail): Html | null {
  const lost = new Map(all.map(({ tensor, sqnrDb }) => [tensor, sqnrDb ?? 0]));
  const shown = detail.spreads
    .filter(({ tensor, to, from }) => lost.has(tensor) && to > from)
    .sort((a, b) => lost.get(a.tensor)! - lost.get(b.tensor)!)
    .slice(0, mostSpreads);
  if (shown.length === 0) return null;
  const cards = shown.map((spread) => {
    const { tensor, range, from, to, float, quantized, clipped } = spread;
    const keys = legend([
      { name: 'float', paint: 1 },
      { name: 'quantized', paint: 2 },
      ...(range && (range[0] > from || range[1] < to)
        ? [{ name: 'end of the integer range', paint: 'mark' as const }]
        : []),
    ]);
    const spoken = `Values of ${tensor}: ${percent(clipped, 2)} clipped`;
    return html`<figure><figcaption>${ending(tensor)}${keys}</figcaption>${histogram({ from, to, area: float, line: quantized, marks: range ?? [], spoken })}</figure>`;
  });
  const rest =
    detail.spreads.length > shown.length ? `; the ${shown.length} tensors with the lowest SQNR` : '';
  return html`<h2>Activation values</h2><div class="cards">${cards}</div><p class="lead" style="margin-top:12px">Over ${thousands(detail.rows)} rows${rest}.</p>`;
}

function weights({ weights: list }: QuantizeDetail): Html | null {
  if (list.length === 0) return null;
  const rows = list.map(({ tensor, shape, scales, channels, sqnrDb }) => [
    ...[ending(tensor), shape.join(' × '), String(channels)],
    channels === 1 ? scales[0].toPrecision(3) : `${scales[0].toPrecision(3)} to ${scales[1].toPrecision(3)}`,
    sqnrDb.toFixed(1),
  ]);
  return html`<h2>Weights</h2>${htmlTable(['Tensor', 'Shape', 'Number of scales', 'Scale range', 'SQNR dB'], rows)}`;
}

function steps({ steps: list }: QuantizeResult): Html | null {
  if (list.length < 2) return null;
  const rows = list.map(({ did, points, interval, sqnrDb }) => [
    ...[did, String(points), `${interval[0]} to ${interval[1]}`],
    sqnrDb === null ? '–' : sqnrDb.toFixed(1),
  ]);
  return html`<h2>Quantization attempts</h2>${htmlTable(['Method', 'Accuracy loss (points)', '95 % interval', 'SQNR dB'], rows)}`;
}

function notes({ notes: list }: QuantizeResult): Html | null {
  if (list.length === 0) return null;
  return html`<h2>Notes</h2><ul class="plain">${list.map((text) => html`<li>${text}</li>`)}</ul>`;
}

function facts({ file, digest, emitted, ops, input, output, io }: QuantizeResult): Html {
  const end = (one: QuantizeResult['input']) =>
    one === null ? io : `${io}, scale ${one.scale.toPrecision(5)}, zero point ${one.zeroPoint}`;
  return html`<h2>Output</h2>${factList([
    ['File', html`${file} <code>${digest}</code>`],
    ...(emitted.length > 0 ? ([['Source', emitted.join(', ')]] as [string, string][]) : []),
    ['Operators', ops.map(({ op, version }) => `${op} v${version}`).join(', ')],
    ['Input', end(input)],
    ['Output', end(output)],
  ])}`;
}

function spreadsOf(detail: QuantizeDetail | null): Map<string, Spread> {
  return new Map((detail?.spreads ?? []).map((spread) => [spread.tensor, spread]));
}

function paintOf(decibels: number): Paint {
  return decibels < poor ? 'bad' : decibels < fair ? 'warn' : 1;
}

/** Names from converters are whole paths, whose end is the most informative part. */
function ending(name: string): string {
  return name.length > 40 ? `…${name.slice(-39)}` : name;
}

function short(value: number): string {
  return String(Number(value.toPrecision(3)));
}
