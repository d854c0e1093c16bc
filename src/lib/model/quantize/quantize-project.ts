import { basename, join } from 'node:path';
import { digestOf } from '../../core/crypto.js';
import { unless } from '../../core/errors.js';
import { refuseInputs, writeJsonAtomic, writeTogether } from '../../core/files.js';
import type { Project } from '../../core/project.js';
import { type Graph, hasForest } from '../../formats/tflite/graph.js';
import type { Standardization } from '../../signal/spec.js';
import { readTrained, stale, type Trained } from '../build-folder.js';
import { answeringOf } from '../bundle/predictor.js';
import type { RejectSpec } from '../bundle/types.js';
import { type Emit, emitted, placesOf, requireEmittable } from '../emit/emit.js';
import type { Usage } from '../emit/usage.js';
import { requireSameDecision } from '../evaluate/evaluate-project.js';
import { isStandardizing, metadataOf } from '../file-metadata.js';
import { buildFiles, type QuantizationFile, readEvaluation, readNetwork } from '../files.js';
import type { DataSource } from '../material.js';
import { joinedOutputs, joinOutputs, separateOutputs } from '../network/join-ends.js';
import { standardizeAll } from '../train/examples/standardize.js';
import { costMatrix } from '../vote.js';
import { type Answer, type Evaluation, evaluationOf, evaluationOfObjects, noAnswer } from './evaluation.js';
import { isQuantized, prepareGraph } from './graph/quantize-graph.js';
import {
  affordableOf,
  endsOf,
  outcomeOf,
  requireForestMode,
  requireNoChanges,
  rowsOf,
  unquantized,
} from './quantize-model.js';
import type { QuantizeResult } from './result.js';
import {
  type Found,
  quantizeAlike,
  type Material as Search,
  type SearchOptions,
  searchQuantization,
} from './search.js';

export interface QuantizeOptions extends DataSource, Partial<SearchOptions> {
  project: Project;
  /** Overrides build/model.MODE.tflite; later steps then do not find the file. With `emit` c, a folder. */
  out?: string | undefined;
  emit?: Emit | undefined;
}

/**
 * Quantizes build/model.float.tflite to build/model.MODE.tflite, according to model.quantize in aiot.yaml, which options override. Ranges
 * are calibrated on the training part, and the loss is measured on the validation set (`withinLoss`). build/quantization.json identifies
 * the file.
 * @throws AIOT_MODEL_NOT_BUILT, AIOT_MODEL_STALE, AIOT_QUANTIZE_UNFIT, AIOT_QUANTIZE_LOSS, AIOT_FILE_NOT_WRITABLE
 */
export async function quantizeProject(options: QuantizeOptions): Promise<QuantizeResult> {
  const { project, emit } = options;
  const trained = await readTrained(project, options);
  const { training, float } = trained;
  const unchanged = isQuantized(float.graph);
  const settings = hasForest(float.graph)
    ? forestSettings(options)
    : unchanged
      ? quantizedSettings(float.graph, options)
      : settingsOf(options);
  const build = join(project.dir, 'build', `model.${settings.mode}.tflite`);
  requireEmittable(emit, { ...settings, out: options.out, forest: hasForest(float.graph) });
  const folder = join(project.dir, 'build', 'c');
  const { file, source } = placesOf(emit, options.out, { file: build, folder });
  await refuseInputs([file], [buildFiles(project).float]);
  const outputs = joinedOutputs(float.graph);
  const separate = separateOutputs(float.graph);
  const prepared = unchanged ? separate : prepareGraph(separate);
  const { rows, note } = affordableOf(prepared, trained.part('train'), training.standardization);
  const material = materialOf(rows, null);
  const { quantized, steps, loss } = unchanged
    ? unquantized(prepared)
    : settings.maxLoss === null
      ? await searchQuantization(prepared, material, settings)
      : await withinLoss(project, trained, { prepared, material }, settings);
  options.onFound?.(quantized, rows);
  const names = outputs.map(({ name }) => name);
  const graph = { ...joinOutputs(quantized.graph, names), description: float.graph.description };
  const { contents, ...outcome } = outcomeOf({ ...quantized, graph }, { steps, loss }, metadataOf(training));
  const about = { out: source, graph, contents, name: training.model, classes: training.classes, rows };
  const deciding =
    emit === 'c'
      ? await decidingOf(project, trained, { digest: outcome.digest, isBuild: file === build })
      : null;
  const usage = deciding && usageOf(trained, deciding);
  const sources =
    emit === undefined ? new Map<string, string>() : emitted(emit, { ...about, ...(usage && { usage }) });
  options.signal?.throwIfAborted();
  await writeTogether(new Map<string, string | Uint8Array>([...sources, [file, contents]]));
  if (file === build) {
    const record: QuantizationFile = {
      spec: 'aiot-quantization/1',
      floatDigest: training.digest,
      digest: outcome.digest,
      mode: settings.mode,
      file: basename(file),
    };
    await writeJsonAtomic(buildFiles(project).quantization, record);
  }
  return {
    model: training.model,
    ...outcome,
    file,
    floatBytes: float.bytes.length,
    windows: rows.length,
    standardized: isStandardizing(training.standardization),
    emitted: [...sources.keys()],
    notes: [
      ...(deciding?.note ? [deciding.note] : []),
      ...(note === null || unchanged || settings.mode === 'float32' ? [] : [note]),
      ...outcome.notes,
    ],
  };
}

/** Settings that turn outputs into predictions, for generated code. */
interface ProjectDecision {
  vote: string;
  costs?: number[] | undefined;
  reject?: RejectSpec | undefined;
  /** The reason why the code does not reject windows, although model.reject is set. */
  note?: string;
}

/**
 * The settings of aiot.yaml. The thresholds of model.reject are those of the last evaluation of this network.
 * @param network the quantized network, and whether it is the one in build/, which `aiot model evaluate` reads
 */
async function decidingOf(
  project: Project,
  { training, dataset }: Trained,
  { digest, isBuild }: { digest: string; isBuild: boolean },
): Promise<ProjectDecision> {
  const { vote, costs, reject } = project.config.model;
  const own = { vote, costs: costMatrix(costs, training.classes) };
  if (!reject || training.network.output.kind !== 'classes') return own;
  const rule = unless('AIOT_MODEL_STALE', ruleOf(project, { digest, datasetDigest: dataset.digest }));
  const known = await unless('AIOT_MODEL_NOT_BUILT', rule);
  if (known) return { ...own, reject: known };
  const steps = isBuild
    ? 'run it, and then this command again'
    : 'run `aiot model quantize` with the same settings but without --out, then `aiot model evaluate`, and then this command again';
  return {
    ...own,
    note: `the C code does not reject windows yet, because \`aiot model evaluate\` chooses the thresholds of model.reject, only for the model in build/: ${steps}`,
  };
}

/** The rule that the evaluation of this network chose. @throws AIOT_MODEL_STALE, AIOT_MODEL_NOT_BUILT */
async function ruleOf(project: Project, of: { digest: string; datasetDigest: string }) {
  const evaluation = await readEvaluation(project);
  if (evaluation.digest !== of.digest || evaluation.datasetDigest !== of.datasetDigest)
    throw stale('the evaluation is of another model', 'aiot model evaluate');
  requireSameDecision(evaluation, project);
  return evaluation.reject?.rule ?? null;
}

/** The project's features and predictions, as in its bundles. */
function usageOf({ training }: Trained, deciding: ProjectDecision): Usage {
  const { signal, standardization } = training;
  const { answer, classes, vote, state } = answeringOf(training, deciding);
  return { signal, standardization, answer, classes, vote, state };
}

function materialOf(rows: readonly Float32Array[], evaluation: Evaluation | null): Search {
  return { rows, evaluation, lesson: { rows, evaluation } };
}

/**
 * The loss is measured on the validation set. If the final training run included that set, the measured loss would be too small. Settings
 * are therefore chosen on the network from before that run, and applied to the final network.
 * @throws AIOT_MODEL_STALE if the predecessor no longer exists
 */
async function withinLoss(
  project: Project,
  trained: Trained,
  last: { prepared: Graph; material: Search },
  settings: SearchOptions,
): Promise<Found> {
  const { training } = trained;
  if ((training.refitted ?? null) === null) {
    const material = materialOf(last.material.rows, validationOf(trained, training.standardization));
    return await searchQuantization(last.prepared, material, settings);
  }
  const file = buildFiles(project).chosen;
  const { bytes, graph } = await readNetwork(file, 'train');
  if (!training.chosen || digestOf(bytes) !== training.chosen.digest)
    throw stale(`${basename(file)} is not the model described in training.json`);
  const prepared = prepareGraph(separateOutputs(graph));
  const { standardization } = training.chosen;
  const { rows } = affordableOf(prepared, trained.part('train'), standardization);
  const material = materialOf(rows, validationOf(trained, standardization));
  return await quantizeAlike({ prepared, material }, last, settings);
}

type Wanted = Pick<SearchOptions, 'mode' | 'io' | 'calibration' | 'biasCorrection' | 'equalize'> & {
  finetune?: number | undefined;
  maxLoss?: number | undefined;
};

/** The options, with defaults from aiot.yaml. */
function settingsOf({ project, ...options }: QuantizeOptions): SearchOptions {
  const quantize: Wanted = project.config.model.quantize;
  const mode = options.mode ?? quantize.mode;
  // `io` in aiot.yaml applies only to the mode configured in aiot.yaml; any other mode uses its own default.
  const io = options.io ?? (mode === quantize.mode ? quantize.io : undefined);
  return {
    mode,
    io,
    calibration: options.calibration ?? quantize.calibration,
    biasCorrection: options.biasCorrection ?? quantize.biasCorrection,
    equalize: options.equalize ?? quantize.equalize,
    finetune: options.finetune ?? quantize.finetune ?? 0,
    maxLoss: options.maxLoss ?? quantize.maxLoss ?? null,
    onStep: options.onStep,
    signal: options.signal,
  };
}

/**
 * Settings for a forest, which is written unchanged, because it already compares and adds integers. The mode is float32, the type of input
 * and output. The quantization settings in aiot.yaml do not apply.
 * @throws AIOT_QUANTIZE_UNFIT if another mode was requested
 */
function forestSettings({ onStep, signal, ...options }: QuantizeOptions): SearchOptions {
  requireForestMode(options);
  return { mode: 'float32', finetune: 0, maxLoss: null, onStep, signal };
}

/**
 * Settings for a network that was imported as integers, which stays unchanged. The quantization settings in aiot.yaml do not apply.
 * @throws AIOT_QUANTIZE_UNFIT for options that would change it
 */
function quantizedSettings(
  graph: Graph,
  { project, mode: requested, io, maxLoss = null, finetune = 0, onStep, signal }: QuantizeOptions,
): SearchOptions {
  requireNoChanges(basename(buildFiles(project).float), graph, { requested, io, maxLoss, finetune });
  return { mode: endsOf(graph).mode, finetune: 0, maxLoss: null, onStep, signal };
}

/** The validation set: each example, with its class. */
function validationOf({ training, examples }: Trained, by: Standardization): Evaluation {
  const { output } = training.network;
  const { kind } = output;
  if (kind === 'value' || (kind === 'reconstruction' && training.threshold === null)) throw noAnswer(kind);
  const part = examples('validation');
  const rows = rowsOf(standardizeAll(part, by), part.inputSize);
  const { image } = training.signal;
  if (output.kind === 'objects' && image) {
    return evaluationOfObjects(rows, part.objects ?? [], {
      layout: { grid: output.grid, picture: image },
      threshold: training.threshold ?? 0.5,
      classes: training.classes.length,
    });
  }
  if (kind === 'objects') throw noAnswer(kind);
  const answer: Answer = kind === 'classes' ? { kind } : { kind, threshold: training.threshold ?? 0.5 };
  return evaluationOf(rows, part.classes, answer, part.recordings);
}
