import * as z from 'zod';
import { AiotError, unless } from '../../core/errors.js';
import { bytesOf, decimalOf, size, thousands } from '../../core/figures.js';
import { readBytes } from '../../core/files.js';
import { issueText } from '../../core/issues.js';
import { loadProject } from '../../core/project.js';
import { nearest } from '../../core/text.js';
import { type Graph, hasForest } from '../../formats/tflite/graph.js';
import { readTflite } from '../../formats/tflite/read.js';
import { arenaBytes } from '../../runtime/arena.js';
import { modelMemoryOf } from '../bundle/board-memory.js';
import { deviceNeed, type SizedInfo } from '../bundle/device-memory.js';
import { answeringOf } from '../bundle/predictor.js';
import { buildFiles, readTraining } from '../files.js';
import { graphMacs, precisionOf, refusalOfMicro } from '../inspect/costs.js';
import { type ModelFile, readModelFile } from '../inspect/model-file.js';
import { isFile } from '../material.js';
import { type ChipName, chipNames, chips } from './chips.js';
import { layerCycles } from './kernels.js';
import type { ChipFit, Fit } from './result.js';
import { sources } from './sources.js';

interface FitOptions {
  /** A .tflite or .aiot file. */
  file: string;
  /** Folder of the project whose model the file is, if any. */
  project?: string | undefined;
  /** Absent = all chips. */
  chip?: string;
  /** Flash limit, such as 64KiB, which overrides the chip's own. */
  flash?: string;
  ram?: string;
  /** Maximum inference time, ms. */
  latency?: string;
  /** JSON or CSV file of measurements from devices. */
  measured?: string;
}

/** Code size of TFLite Micro's interpreter and of each kind of kernel, in bytes: an allowance, not a measurement. */
const runtimeBytes = { interpreter: 40 * 1024, kernel: 6 * 1024 };

/** Code size of the functions that evaluate decision trees, in bytes: an allowance. */
const forestCodeBytes = 2 * 1024;

/**
 * Predicts a network's flash, RAM and latency on microcontrollers. If the named chip is too small, `error` is set and nothing is thrown.
 * @throws AIOT_USAGE (unknown chip), AIOT_TFLITE_UNSUPPORTED (rejected by TFLite Micro), AIOT_TFLITE_MALFORMED, AIOT_FILE_NOT_FOUND,
 * AIOT_FILE_MALFORMED (measurements)
 */
export async function fitModel(options: FitOptions): Promise<Fit> {
  const wanted = options.chip === undefined ? chipNames : [chipNamed(options.chip)];
  if (options.measured !== undefined && options.chip === undefined)
    throw new AiotError('AIOT_USAGE', '--measured: the chip of these measurements is unknown', {
      next: `Specify it: --chip ${chipNames[0]}`,
    });
  const budgets = budgetsOf(options);
  const model = await readModelFile(options.file);
  const graph = readTflite(model.network);
  const refusal = refusalOfMicro(graph);
  if (refusal !== null)
    throw new AiotError('AIOT_TFLITE_UNSUPPORTED', refusal, {
      next: 'Create a version for chips with `aiot model quantize FLOAT.tflite --mode int8`.',
    });
  if (hasForest(graph) && options.latency !== undefined)
    throw new AiotError('AIOT_USAGE', '--latency: the time of decision trees cannot be predicted', {
      next: 'Omit --latency.',
    });
  const need = await firmwareNeed(model, options.project);
  const fits = wanted.map((name) => fitChip(name, graph, model.network.length, budgets, need));
  const [only] = fits;
  const measured =
    options.measured === undefined || only === undefined
      ? null
      : compareMeasured(options.measured, await readMeasured(options.measured), only, arenaBytes(graph));
  const error = options.chip === undefined || only === undefined ? null : refusalOf(only);
  return {
    file: options.file,
    precision: precisionOf(graph),
    bytes: model.network.length,
    arenaBytes: hasForest(graph) ? 0 : arenaBytes(graph),
    macs: graphMacs(graph),
    chips: fits,
    measured,
    fits: fits.some((fit) => fit.fits),
    notes: [...notesOf(graph, fits), ...firmwareNotes(fits)],
    error: error?.toJSON() ?? null,
  };
}

/**
 * The file of a project's quantized model. Decision trees are not quantized, so their file is the trained one. The kind is determined from
 * the file's contents, because `--kind` may have overridden the kind in aiot.yaml.
 * @throws AIOT_PROJECT_NOT_FOUND, AIOT_PROJECT_INVALID, AIOT_FILE_NOT_FOUND if the model is not quantized yet, AIOT_TFLITE_MALFORMED
 */
export async function quantizedFile(folder: string): Promise<string> {
  const project = await loadProject(folder);
  const { int8: file, float } = buildFiles(project);
  if ((await isFile(float)) && hasForest(readTflite(await readBytes(float)))) return float;
  if (await isFile(file)) return file;
  throw new AiotError('AIOT_FILE_NOT_FOUND', `the project has no quantized model yet (${file})`, {
    next: 'Create it with `aiot model train` and `aiot model quantize`, or specify a file.',
  });
}

/** Null if the network fits; otherwise a single error that lists every exceeded limit. */
export function refusalOf({ title, flash, ram, latency }: ChipFit): AiotError | null {
  const reasons = [
    flash.fits ? null : `flash: needs ${size(flash.need)}, but has ${size(flash.have)}`,
    ram.fits ? null : `RAM: needs ${size(ram.need)}, but has ${size(ram.have)}`,
    latency === null || latency.fits
      ? null
      : `latency: ${latency.ms.toFixed(1)} ms predicted, but at most ${latency.most} ms allowed`,
  ].filter((reason) => reason !== null);
  if (reasons.length === 0) return null;
  return new AiotError('AIOT_GATE_FAILED', `the model does not fit ${title}: ${reasons.join('; ')}`, {
    next: 'Use fewer or smaller model.layers, a shorter signal.window, or int8; or choose a larger chip from `aiot model fit FILE`.',
  });
}

function chipNamed(text: string): ChipName {
  const name = text.toLowerCase().replaceAll(/[-_ ]/g, '');
  const found = chipNames.find((chip) => chip === name);
  if (found) return found;
  const near = nearest(name, chipNames);
  throw new AiotError('AIOT_USAGE', `--chip: expected one of ${chipNames.join(', ')}, got "${text}"`, {
    next: near ? `--chip ${near}` : 'To compare all chips, run `aiot model fit FILE`.',
  });
}

/** @param firmwareNeed bytes of the firmware's memory for models; null = unknown */
function fitChip(
  name: ChipName,
  graph: Graph,
  bytes: number,
  budgets: Budgets,
  firmwareNeed: number | null,
): ChipFit {
  const chip = chips[name];
  const memory = modelMemoryOf(name);
  const common = {
    ...{ chip: name, title: chip.title, core: chip.coreTitle, clockMHz: chip.clockMHz },
    firmware: memory === null || firmwareNeed === null ? null : within(firmwareNeed, memory),
  };
  if (hasForest(graph)) {
    const flash = within(bytes + forestCodeBytes, budgets.flash ?? chip.flash);
    const ram = within(0, budgets.ram ?? chip.ram - chip.reservedRam);
    const fits = flash.fits && ram.fits;
    return {
      ...common,
      flash,
      ram,
      latency: null,
      fits,
      basis: null,
      layers: [],
      sources: [sources[chip.source]],
    };
  }
  const layers = layerCycles(graph, chip.core).map(({ costs, ...layer }) => ({
    layer: { ...layer, ms: layer.cycles / (chip.clockMHz * 1000) },
    costs,
  }));
  const cycles = layers.reduce((sum, { layer }) => sum + layer.cycles, 0);
  const ms = (share: 0 | 1) =>
    layers.reduce((sum, { layer, costs }) => sum + layer.ms * costs.spread[share], 0);
  const kinds = new Set(graph.operators.map(({ op }) => op)).size;
  const flash = within(
    bytes + runtimeBytes.interpreter + kinds * runtimeBytes.kernel,
    budgets.flash ?? chip.flash,
  );
  const ram = within(arenaBytes(graph), budgets.ram ?? chip.ram - chip.reservedRam);
  const total = cycles / (chip.clockMHz * 1000);
  const most = budgets.latency ?? null;
  const latency = {
    ms: total,
    range: [ms(0), ms(1)] as [number, number],
    cycles,
    most,
    fits: most === null || total <= most,
  };
  const slowest = layers.reduce((a, b) => (b.layer.cycles > a.layer.cycles ? b : a), layers[0]!);
  const named = new Set(layers.flatMap(({ costs }) => costs.sources));
  return {
    ...common,
    flash,
    ram,
    latency,
    fits: flash.fits && ram.fits && latency.fits,
    basis: name === 'esp32c6' ? 'transferred' : slowest.costs.basis,
    layers: layers.map(({ layer }) => layer),
    sources: [...named, chip.source].map((source) => sources[source]),
  };
}

interface Budgets {
  flash?: number;
  ram?: number;
  latency?: number;
}

function budgetsOf({ flash, ram, latency }: FitOptions): Budgets {
  return {
    flash: amount('flash', flash, 'a size such as 64KiB'),
    ram: amount('ram', ram, 'a size such as 64KiB'),
    latency: amount('latency', latency, 'milliseconds such as 20'),
  };
}

function amount(flag: string, text: string | undefined, wanted: string): number | undefined {
  if (text === undefined) return undefined;
  const sized = flag !== 'latency' && /^\d+ ?(B|KiB|MiB)$/.test(text) ? bytesOf(text) : decimalOf(text);
  if (sized > 0 && Number.isFinite(sized)) return sized;
  throw new AiotError('AIOT_USAGE', `--${flag}: expected ${wanted}, got "${text}"`);
}

function within(need: number, have: number) {
  return { need, have, fits: need <= have };
}

function notesOf(graph: Graph, fits: readonly ChipFit[]): string[] {
  if (hasForest(graph))
    return [
      `flash is the tables of the trees and ${size(forestCodeBytes)} for code (an estimate); trees need no arena, and the time of trees is not predicted`,
    ];
  const notes = [
    `flash includes the model, ${size(runtimeBytes.interpreter)} for TFLite Micro and ${size(runtimeBytes.kernel)} for each kind of operator (estimates); RAM is the arena, compared with what the system, stacks and radio leave free (an estimate)`,
    'vector libraries (ESP-NN, CMSIS-NN) need scratch memory in addition to the arena',
  ];
  if (fits.some(({ layers }) => layers.some(({ kernels }) => kernels === 'reference')))
    notes.push(
      `${precisionOf(graph)}: no vector library supports this type, so the latency is that of TFLite Micro's reference kernels`,
    );
  return notes;
}

/** Memory that the model needs in aiot's firmware with its windows and features, which the arena excludes; null if they are unknown. */
async function firmwareNeed(
  { bundle, network }: ModelFile,
  folder: string | undefined,
): Promise<number | null> {
  const info = bundle?.info ?? (folder === undefined ? null : await trainedInfo(folder));
  return info === null ? null : deviceNeed({ info, model: network }).trial;
}

/** A remark on boards whose default firmware has too little memory for the model. */
function firmwareNotes(fits: readonly ChipFit[]): string[] {
  const short = fits.flatMap(({ chip, firmware }) =>
    firmware && !firmware.fits ? [{ chip, ...firmware }] : [],
  );
  const [first] = short;
  if (first === undefined) return [];
  const list = short.map(({ chip, have }) => `${chip} ${thousands(have)}`).join(', ');
  return [
    `with its windows and features, the model needs ${thousands(first.need)} bytes of the firmware's memory for models, but the default firmware has only: ${list}; external RAM or a larger AIOT_MEMORY_BYTES provides more (aiot docs firmware-memory)`,
  ];
}

/** The parts of a trained project's bundle that determine its memory; null if the project's files are not from a training. */
async function trainedInfo(folder: string): Promise<SizedInfo | null> {
  const project = await loadProject(folder);
  const training = await unless('AIOT_MODEL_NOT_BUILT', readTraining(project));
  if (training === undefined) return null;
  const { signal, standardization } = training;
  return {
    signal,
    standardization,
    ...answeringOf(training, { vote: project.config.model?.vote ?? 'none' }),
  };
}

/** Measurements from one device; absent values were not measured. */
const reportSchema = z.object({
  /** Duration of one inference, ms. */
  latencyMs: z.number().positive().optional(),
  /** Arena bytes that TFLite Micro reports as used. */
  arenaBytes: z.number().positive().optional(),
  flashBytes: z.number().positive().optional(),
  /** Milliseconds per operator, by index. */
  layers: z.array(z.object({ index: z.int().min(0), ms: z.number().min(0) })).optional(),
});

type MeasuredReport = z.output<typeof reportSchema>;

const reportsSchema = z.union([z.array(reportSchema).min(1), reportSchema.transform((one) => [one])]);
const csvNames = 'latency_ms, arena_bytes, flash_bytes and layer_N_ms';

/**
 * Reads measurements reported by devices. JSON: an object with `latencyMs`, `arenaBytes`, `flashBytes` and `layers` (`index`, `ms`), or an
 * array with one object per device. CSV: the columns latency_ms, arena_bytes, flash_bytes, layer_0_ms, …, and one row per device.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED
 */
async function readMeasured(file: string): Promise<MeasuredReport[]> {
  const text = (await readBytes(file)).toString('utf8').trim();
  if (!/^[[{]/.test(text)) return parseReports(text, file);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw malformed(file, 'the file is neither JSON nor CSV', error);
  }
  const read = reportsSchema.safeParse(value);
  if (!read.success) throw malformed(file, issueText(read.error, 'the file', value));
  if (read.data.every((report) => Object.keys(report).length === 0))
    throw malformed(file, 'expected at least one of latencyMs, arenaBytes, flashBytes and layers');
  return read.data;
}

function parseReports(text: string, file: string): MeasuredReport[] {
  const [head = '', ...lines] = text.split(/\r?\n/);
  const names = head.split(',');
  const known = /^(latency_ms|arena_bytes|flash_bytes|layer_\d+_ms)$/;
  const stray = names.find((name) => !known.test(name));
  if (stray !== undefined) throw malformed(file, `line 1: expected columns of ${csvNames}, got "${stray}"`);
  if (lines.length === 0) throw malformed(file, 'no data rows after the header');
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

/** Compares the prediction with the median of the measurements. @throws AIOT_FILE_MALFORMED for an unknown layer */
function compareMeasured(
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
  if (fit.latency !== null)
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
      throw malformed(file, `layer ${index}: the model has operators 0 to ${fit.layers.length - 1}`);
    const values = measured.filter((one) => one.index === index).map(({ ms }) => ms);
    add(`${index} ${layer.op}, ms`, layer.ms, values);
  }
  return { file, reports: reports.length, figures };
}

function malformed(file: string, reason: string, cause?: unknown): AiotError {
  return new AiotError('AIOT_FILE_MALFORMED', `${file}: ${reason}`, {
    cause,
    next: 'Use JSON such as {"latencyMs": 12.5, "arenaBytes": 4096}, or CSV. For the columns, run `aiot docs fit`.',
  });
}
