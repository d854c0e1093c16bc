import { z } from 'zod';
import { AiotError, issueText, readBytes } from '../../core/index.js';
import type { ChipFit, Fit } from './result.js';

/** What one device measured; it may leave out what it did not. */
const reportSchema = z.object({
  /** Of one inference, ms. */
  latencyMs: z.number().positive().optional(),
  /** What TFLite Micro says it used of its arena. */
  arenaBytes: z.number().positive().optional(),
  flashBytes: z.number().positive().optional(),
  /** Milliseconds of operators, by their index. */
  layers: z.array(z.object({ index: z.int().min(0), ms: z.number().min(0) })).optional(),
});
export type MeasuredReport = z.output<typeof reportSchema>;
const reportsSchema = z.union([z.array(reportSchema).min(1), reportSchema.transform((one) => [one])]);

const csvNames = 'latency_ms, arena_bytes, flash_bytes and layer_N_ms';

/**
 * Figures that devices reported: a JSON object, or an array of them with one a device, of `latencyMs`, `arenaBytes`,
 * `flashBytes` and `layers` (`index`, `ms`); or CSV with the columns latency_ms, arena_bytes, flash_bytes, layer_0_ms, …, one row
 * a device.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED
 */
export async function readMeasured(file: string): Promise<MeasuredReport[]> {
  const text = (await readBytes(file)).toString('utf8').trim();
  if (!/^[[{]/.test(text)) return parseReports(text, file);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw malformed(file, 'it is neither JSON nor CSV', error);
  }
  const read = reportsSchema.safeParse(value);
  if (!read.success) throw malformed(file, issueText(read.error, 'the file', value));
  if (read.data.every((report) => Object.keys(report).length === 0))
    throw malformed(file, 'expected latencyMs, arenaBytes, flashBytes or layers, got none of them');
  return read.data;
}

function parseReports(text: string, file: string): MeasuredReport[] {
  const [head = '', ...lines] = text.split(/\r?\n/);
  const names = head.split(',');
  const known = /^(latency_ms|arena_bytes|flash_bytes|layer_\d+_ms)$/;
  const stray = names.find((name) => !known.test(name));
  if (stray !== undefined) throw malformed(file, `line 1: expected columns of ${csvNames}, got "${stray}"`);
  if (lines.length === 0) throw malformed(file, 'no rows below the header');
  return lines.map((line, row) => {
    const cells = line.split(',').map((cell) => Number(cell || 'none'));
    if (cells.length !== names.length || cells.some((cell) => !(cell >= 0)))
      throw malformed(file, `line ${row + 2}: expected ${names.length} numbers, got "${line.slice(0, 60)}"`);
    const layers = names.flatMap((name, c) => {
      const index = /^layer_(\d+)_ms$/.exec(name)?.[1];
      return index === undefined ? [] : [{ index: Number(index), ms: cells[c]! }];
    });
    const of = (name: string) => cells[names.indexOf(name)];
    return {
      latencyMs: of('latency_ms'),
      arenaBytes: of('arena_bytes'),
      flashBytes: of('flash_bytes'),
      layers,
    };
  });
}

/** Predicted beside the median of what was measured. @throws AIOT_FILE_MALFORMED for a layer that the network has not */
export function compareMeasured(
  file: string,
  reports: readonly MeasuredReport[],
  fit: ChipFit,
  arena: number,
): NonNullable<Fit['measured']> {
  const figures: NonNullable<Fit['measured']>['figures'] = [];
  const add = (what: string, predicted: number, values: (number | undefined)[]) => {
    const known = values.filter((value) => value !== undefined).sort((a, b) => a - b);
    if (known.length === 0) return;
    const middle =
      (known[Math.floor((known.length - 1) / 2)]! + known[Math.ceil((known.length - 1) / 2)]!) / 2;
    figures.push({ what, predicted, measured: middle, error: middle === 0 ? 0 : predicted / middle - 1 });
  };
  add(
    'latency, ms',
    fit.latency.ms,
    reports.map(({ latencyMs }) => latencyMs),
  );
  add(
    'arena, bytes',
    arena,
    reports.map(({ arenaBytes }) => arenaBytes),
  );
  add(
    'flash, bytes',
    fit.flash.need,
    reports.map(({ flashBytes }) => flashBytes),
  );
  const measured = reports.flatMap(({ layers = [] }) => layers);
  for (const index of [...new Set(measured.map((layer) => layer.index))].sort((a, b) => a - b)) {
    const layer = fit.layers[index];
    if (!layer)
      throw malformed(file, `layer ${index}: the network has operators 0 to ${fit.layers.length - 1}`);
    const values = measured.filter((one) => one.index === index).map(({ ms }) => ms);
    add(`${index} ${layer.op}, ms`, layer.ms, values);
  }
  return { file, reports: reports.length, figures };
}

function malformed(file: string, reason: string, cause?: unknown): AiotError {
  return new AiotError('AIOT_FILE_MALFORMED', `${file}: ${reason}`, {
    cause,
    next: 'Give JSON such as {"latencyMs": 12.5, "arenaBytes": 4096}, or CSV with these columns: docs/fit.md',
  });
}
