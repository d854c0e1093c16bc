import { z } from 'zod';
import { digestOf, type Project, writeFileAtomic, writeJsonAtomic } from '../../core/index.js';
import { writeTflite } from '../../formats/index.js';
import { type DataSource, datasetOfSource } from '../dataset.js';
import { buildFiles, type QuantizationFile, readNetwork, readTraining } from '../files.js';
import { requireSameData } from '../fresh.js';
import { examplesOf } from '../train/examples.js';
import { standardizeAll } from '../train/standardize.js';
import { quantizeGraph } from './quantize-graph.js';

export const quantizeResultSchema = z.object({
  model: z.string(),
  /** The int8 network, a .tflite file. */
  file: z.string(),
  bytes: z.int(),
  /** Of the float network. */
  floatBytes: z.int(),
  digest: z.string(),
  /** Windows that the ranges were taken from. */
  windows: z.int(),
  input: z.object({ scale: z.number(), zeroPoint: z.int() }),
});
export type QuantizeResult = z.output<typeof quantizeResultSchema>;

export interface QuantizeOptions extends DataSource {
  project: Project;
  signal?: AbortSignal;
}

/**
 * build/model.float.tflite → build/model.int8.tflite, calibrated on the training windows.
 * @throws AIOT_MODEL_NOT_BUILT, AIOT_MODEL_STALE, AIOT_QUANTIZE_UNFIT
 */
export async function quantizeProject(options: QuantizeOptions): Promise<QuantizeResult> {
  const { project, signal } = options;
  const training = await readTraining(project);
  const { bytes: floatBytes, graph } = await readNetwork(buildFiles(project).float, 'train');
  const dataset = await datasetOfSource(project, options);
  requireSameData(project, training, dataset, digestOf(floatBytes));
  const examples = examplesOf(dataset, training.split.train, training.signal, project.config);
  signal?.throwIfAborted();
  const inputs = standardizeAll(examples, training.standardization);
  const rows = Array.from({ length: examples.classes.length }, (_, i) =>
    inputs.subarray(i * examples.inputSize, (i + 1) * examples.inputSize),
  );
  const quantized = quantizeGraph(graph, rows);
  const bytes = writeTflite(quantized);
  const file = buildFiles(project).int8;
  const { scale = [], zeroPoint = [] } = quantized.tensors[quantized.inputs[0]!]?.quantization ?? {};
  const digest = digestOf(bytes);
  const record: QuantizationFile = { spec: 'aiot-quantization/1', floatDigest: training.digest, digest };
  await writeFileAtomic(file, bytes);
  await writeJsonAtomic(buildFiles(project).quantization, record);
  return {
    model: training.model,
    file,
    bytes: bytes.length,
    floatBytes: floatBytes.length,
    digest,
    windows: rows.length,
    input: { scale: scale[0]!, zeroPoint: zeroPoint[0]! },
  };
}
