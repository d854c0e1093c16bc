import { AiotError } from '../../core/errors.js';
import type { Graph } from '../../formats/tflite/graph.js';
import { type Evaluation, hits, lossOf } from './evaluation.js';
import { unfit } from './graph/calibrate.js';
import { affordable, measureAgainst } from './graph/noise.js';
import { type Compared, quantizePrepared } from './graph/quantize-graph.js';
import { decisive } from './graph/ranges.js';
import type { FallbackStep, Loss } from './result.js';
import type { Calibration, Kind, QuantizeSettings } from './types.js';

export interface SearchOptions extends QuantizeSettings {
  /** Maximum accuracy loss in percentage points; null = no limit. */
  maxLoss: number | null;
  /** Requested epochs of fine-tuning. With 0, fine-tuning is used only if every other attempt exceeds the limit. */
  finetune: number;
  /** Called with a description of the current attempt. */
  onStep?: ((text: string) => void) | undefined;
  /** Called with the result and the representative rows, for further analysis. */
  onFound?: ((found: Compared, rows: readonly Float32Array[]) => void) | undefined;
  signal?: AbortSignal | undefined;
}

export interface Found {
  quantized: Compared;
  steps: FallbackStep[];
  loss: Loss | null;
  /** How the network was derived from the float network. */
  way: Way;
}

/** Settings, and epochs of fine-tuning that precede quantization. */
interface Way {
  settings: QuantizeSettings;
  epochs: number;
}

/** Epochs of fine-tuning as the last resort. */
const lastResort = 10;

/** Number of worst parts that successive attempts exclude from the mode's integers. */
const widths = [1, 2, 3, 5, 8];

/** Rows and labels for quantizing and measuring a network. */
export interface Material {
  /** Representative inputs. */
  rows: readonly Float32Array[];
  /** Labeled rows on which the loss is measured; null = it is not measured. */
  evaluation: Evaluation | null;
  /** Rows for fine-tuning, and labeled rows that are excluded from fine-tuning. */
  lesson: { rows: readonly Float32Array[]; evaluation: Evaluation | null };
}

interface Tried extends Way {
  did: string;
  quantized: Compared;
  loss: Loss;
}

/**
 * Quantizes the network. With a limit, tries alternatives until the loss is within it: other calibrations, then bias correction and
 * equalization. Then it tries int16 for the parts with the largest loss, then float32, then fine-tuning. The first attempt within the limit
 * is used.
 * @throws AIOT_QUANTIZE_LOSS with the closest attempt, AIOT_QUANTIZE_UNFIT and the abort reason of `signal`
 */
export async function searchQuantization(
  prepared: Graph,
  material: Material,
  options: SearchOptions,
): Promise<Found> {
  const { finetune, maxLoss } = options;
  const settings: QuantizeSettings = options;
  if (finetune > 0 && !roundsWeights(settings))
    throw unfit(`--finetune needs the mode int8, int16x8 or dynamic, not ${settings.mode}`);
  const search = new Search(prepared, material, options);
  const { evaluation, lesson, rows } = material;
  if (evaluation === null) {
    const graph = finetune > 0 ? await search.tuned(settings, finetune) : prepared;
    const quantized = quantizePrepared(graph, rows, settings, { reference: prepared });
    return { quantized, steps: [], loss: null, way: { settings, epochs: finetune } };
  }
  const afterwards = lesson.evaluation ?? evaluation;
  if (finetune > 0) {
    const graph = await search.tuned(settings, finetune);
    if (
      search.attempt(`fine-tuned for ${finetune} epochs`, settings, afterwards, { graph, epochs: finetune })
    )
      return search.found();
  } else if (search.attempt('as asked', settings, evaluation)) return search.found();
  for (const [did, by] of otherCalibrations(settings))
    if (search.attempt(did, by, evaluation)) return search.found();
  const best = search.closest().settings;
  for (const [did, by] of apart(prepared, rows, best))
    if (search.attempt(did, by, evaluation)) return search.found();
  if (finetune === 0 && roundsWeights(settings)) {
    const graph = await search.tuned(best, lastResort);
    const tuned = { graph, epochs: lastResort };
    if (search.attempt(`fine-tuned for ${lastResort} epochs`, best, afterwards, tuned)) return search.found();
  }
  throw search.refusal(maxLoss!);
}

/**
 * Searches for settings on the first model, and applies them to the second. The second model has the same layers, but was also trained on
 * the evaluation rows, so its own loss would be optimistic. The reported steps and loss are the first model's.
 * @throws as `searchQuantization`
 */
export async function quantizeAlike(
  first: { prepared: Graph; material: Material },
  { prepared, material }: { prepared: Graph; material: Material },
  options: SearchOptions,
): Promise<Found> {
  const found = await searchQuantization(first.prepared, first.material, options);
  const { settings, epochs } = found.way;
  const graph = epochs > 0 ? await new Search(prepared, material, options).tuned(settings, epochs) : prepared;
  const quantized = quantizePrepared(graph, material.rows, settings, { reference: prepared });
  return { ...found, quantized };
}

/** Runs candidates and records the attempts. */
class Search {
  readonly #tried: Tried[] = [];
  readonly #float = new Map<Evaluation, boolean[]>();

  constructor(
    readonly prepared: Graph,
    readonly material: Material,
    readonly options: SearchOptions,
  ) {}

  async tuned(by: QuantizeSettings, epochs: number): Promise<Graph> {
    const { signal, onStep } = this.options;
    const { finetuned } = await import('./finetune.js');
    return await finetuned(this.prepared, this.material.lesson.rows, by, { epochs, signal, onStep });
  }

  /** Whether this attempt meets the limit; always true without a limit. */
  attempt(
    did: string,
    settings: QuantizeSettings,
    on: Evaluation,
    { graph, epochs } = { graph: this.prepared, epochs: 0 },
  ): boolean {
    const { maxLoss, onStep, signal } = this.options;
    signal?.throwIfAborted();
    onStep?.(did);
    const quantized = quantizePrepared(graph, this.material.rows, settings, { reference: this.prepared });
    const float = this.#float.get(on) ?? hits(this.prepared, on);
    this.#float.set(on, float);
    const lost = lossOf(float, hits(quantized.graph, on), on.groups, maxLoss);
    const loss = { ...lost, calibrated: on.calibrated === true };
    this.#tried.push({ did, settings, epochs, quantized, loss });
    return loss.passed !== false;
  }

  found(): Found {
    const { quantized, loss, settings, epochs } = this.#tried.at(-1)!;
    const steps = this.#tried.map(({ did, quantized: { report }, loss: { points, interval } }) => ({
      did,
      points,
      interval,
      sqnrDb: report.sqnrDb,
    }));
    return { quantized, loss, steps, way: { settings, epochs } };
  }

  closest(): Tried {
    return this.#tried.reduce((best, other) => (other.loss.points < best.loss.points ? other : best));
  }

  refusal(limit: number): AiotError {
    const { did, loss, quantized } = this.closest();
    const [low, high] = loss.interval;
    return new AiotError(
      'AIOT_QUANTIZE_LOSS',
      `expected a loss of at most ${limit} points; ${this.#tried.length} methods were tried, and the closest (${did}) loses ${loss.points} points ` +
        `(95 % interval ${low} to ${high}, ${loss.rows} rows, ${quantized.report.sqnrDb} dB)`,
    );
  }
}

function roundsWeights({ mode }: QuantizeSettings): boolean {
  return isInteger({ mode }) || mode === 'dynamic';
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

/** Attempts that run the worst parts in int16, with more parts in each attempt. Further attempts run them in float32. */
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
        `${kind} for ${names} and the operators that read ${taken.length === 1 ? 'it' : 'them'}`,
        { ...settings, kinds },
      ];
    }
  }
}

/** Multiply-add budget for the ranking, and number of rows for one trial. */
const budget = 4e8;

const mostRows = 100;

/** An operator and the readers of its output. If all of them are changed, that output is not rounded to int8. */
interface Part {
  /** Indices in `graph.operators`. */
  operators: number[];
  /** The first operator, for messages: `operator 3 (CONV_2D)`. */
  name: string;
  /** Gain of the decisive tensor, in decibels, if these operators compute in the other kind. */
  gainDb: number;
}

/**
 * Parts of the network, ranked by how much the output gains if only that part is excluded from the mode's integers, worst part first. Parts
 * without a gain are omitted.
 * @param kind replacement for the mode's integers
 */
function worstParts(
  graph: Graph,
  rows: readonly Float32Array[],
  settings: QuantizeSettings,
  kind: Kind,
): Part[] {
  const some = affordable(graph, rows, budget / (graph.operators.length + 1), 16, mostRows);
  const measure = measureAgainst(graph, decisive(graph), some);
  const score = (operators: readonly number[]) => {
    const kinds = new Map([...(settings.kinds ?? []), ...operators.map((at) => [at, kind] as const)]);
    // Ranges do not depend on the kinds, so min-max is used to avoid a search in each trial.
    const trial = { ...settings, calibration: 'min-max', kinds } as const;
    const { graph: quantized, twins } = quantizePrepared(graph, some, trial, { measured: false });
    return measure(quantized, twins);
  };
  const before = score([]);
  const parts = graph.operators.map(({ op, outputs }, at): Part => {
    const readers = graph.operators.flatMap(({ inputs }, other) =>
      inputs.some((index) => outputs.includes(index)) ? [other] : [],
    );
    const operators = [at, ...readers];
    return { operators, name: `operator ${at} (${op})`, gainDb: score(operators) - before };
  });
  return parts.filter(({ gainDb }) => gainDb > 0.05).sort((a, b) => b.gainDb - a.gainDb);
}
