import { AiotError } from '../../core/index.js';
import type { Graph } from '../../formats/index.js';
import { type Evaluation, hits, lossOf } from './evaluation.js';
import { quantizePrepared } from './quantize-graph.js';
import type { FallbackStep, Loss } from './result.js';
import { worstParts } from './sensitivity.js';
import type { Calibration, Kind, Quantized, QuantizeSettings } from './types.js';

export interface SearchOptions extends QuantizeSettings {
  /** Points of accuracy that may be lost; null = take what comes. */
  maxLoss: number | null;
  /** Epochs of fine-tuning that are asked for; 0 = only when everything else loses too much. */
  finetune: number;
  /** Called with what is being tried. */
  onStep?: ((text: string) => void) | undefined;
  signal?: AbortSignal | undefined;
}

export interface Found {
  quantized: Quantized;
  steps: FallbackStep[];
  loss: Loss | null;
}

/** Epochs of fine-tuning as the last resort. */
const lastResort = 10;
/** So many of the worst parts leave the mode's integers, one try after another. */
const widths = [1, 2, 3, 5, 8];

interface Tried {
  did: string;
  settings: QuantizeSettings;
  quantized: Quantized;
  loss: Loss;
}

/**
 * Quantizes, and with a limit tries further until the loss is within it: other calibrations with and without bias correction
 * and equalization; int16 for the parts that cost most, then float32; fine-tuning. The first that keeps the limit is taken.
 * @param rows representative inputs; also what is fine-tuned on
 * @throws AIOT_QUANTIZE_LOSS with what came closest, AIOT_QUANTIZE_UNFIT and what `signal` was aborted with
 */
export async function searchQuantization(
  prepared: Graph,
  rows: readonly Float32Array[],
  evaluation: Evaluation | null,
  options: SearchOptions,
): Promise<Found> {
  const { maxLoss, finetune, onStep, signal } = options;
  const settings: QuantizeSettings = options;
  const tuned = async (graph: Graph, by: QuantizeSettings, epochs: number) => {
    const { finetuned } = await import('./finetune.js');
    return await finetuned(graph, rows, by, { epochs, signal, onStep });
  };
  if (evaluation === null) {
    const graph = finetune > 0 ? await tuned(prepared, settings, finetune) : prepared;
    return {
      quantized: quantizePrepared(graph, rows, settings, { reference: prepared }),
      steps: [],
      loss: null,
    };
  }
  const float = hits(prepared, evaluation);
  const tried: Tried[] = [];
  const attempt = (did: string, by: QuantizeSettings, graph: Graph = prepared): boolean => {
    signal?.throwIfAborted();
    onStep?.(did);
    const quantized = quantizePrepared(graph, rows, by, { reference: prepared });
    const loss = lossOf(float, hits(quantized.graph, evaluation), evaluation.groups, maxLoss);
    tried.push({ did, settings: by, quantized, loss });
    return loss.passed !== false;
  };
  const done = (): Found => ({
    quantized: tried.at(-1)!.quantized,
    loss: tried.at(-1)!.loss,
    steps: tried.map(({ did, quantized, loss }) => ({
      did,
      points: loss.points,
      interval: loss.interval,
      sqnrDb: quantized.report.sqnrDb,
    })),
  });
  const asked = finetune > 0 ? await tuned(prepared, settings, finetune) : prepared;
  if (attempt(finetune > 0 ? `fine-tuned for ${finetune} epochs` : 'as asked', settings, asked))
    return done();
  for (const [did, by] of otherCalibrations(settings)) if (attempt(did, by)) return done();
  const best = closest(tried).settings;
  for (const [did, by] of apart(prepared, rows, best)) if (attempt(did, by)) return done();
  if (isInteger(settings)) {
    onStep?.(`fine-tuning for ${lastResort} epochs`);
    const graph = await tuned(prepared, best, lastResort);
    if (attempt(`fine-tuned for ${lastResort} epochs`, best, graph)) return done();
  }
  throw tooMuch(closest(tried), tried.length, maxLoss!);
}

function isInteger({ mode }: QuantizeSettings): boolean {
  return mode === 'int8' || mode === 'int16x8';
}

function* otherCalibrations(settings: QuantizeSettings): Iterable<[string, QuantizeSettings]> {
  if (!isInteger(settings)) return;
  const asked = settings.calibration ?? 'auto';
  const others: Calibration[] = ['auto', 'min-max', 'percentile', 'mse'];
  for (const calibration of others.filter((method) => method !== asked))
    yield [`calibration ${calibration}`, { ...settings, calibration }];
  const plain = settings.biasCorrection !== true;
  if (plain) yield ['bias correction', { ...settings, biasCorrection: true }];
  if (settings.equalize !== true) {
    yield ['equalization', { ...settings, equalize: true }];
    if (plain)
      yield ['equalization and bias correction', { ...settings, equalize: true, biasCorrection: true }];
  }
}

/** The worst parts on int16, more of them each time, then on float32. */
function* apart(
  prepared: Graph,
  rows: readonly Float32Array[],
  settings: QuantizeSettings,
): Iterable<[string, QuantizeSettings]> {
  const others: Partial<Record<QuantizeSettings['mode'], Kind[]>> = {
    int8: ['int16', 'float32'],
    int16x8: ['float32'],
    dynamic: ['float32'],
  };
  for (const kind of others[settings.mode] ?? []) {
    const parts = worstParts(prepared, rows, settings, kind);
    for (const width of widths.filter((count) => count === 1 || count <= parts.length)) {
      const taken = parts.slice(0, width);
      if (taken.length === 0) break;
      const kinds = new Map<number, Kind>(
        taken.flatMap(({ operators }) => operators.map((at) => [at, kind])),
      );
      const names = taken.map(({ name }) => name).join(', ');
      yield [
        `${kind} for ${names} and what reads ${taken.length === 1 ? 'it' : 'them'}`,
        { ...settings, kinds },
      ];
    }
  }
}

function closest(tried: readonly Tried[]): Tried {
  return tried.reduce((best, other) => (other.loss.points < best.loss.points ? other : best));
}

function tooMuch({ did, loss, quantized }: Tried, count: number, limit: number): AiotError {
  const [low, high] = loss.interval;
  return new AiotError(
    'AIOT_QUANTIZE_LOSS',
    `expected to lose at most ${limit} points; ${count} ways were tried, the closest (${did}) loses ${loss.points} points ` +
      `(95 % interval ${low} to ${high}, ${loss.rows} rows, ${quantized.report.sqnrDb} dB)`,
  );
}
