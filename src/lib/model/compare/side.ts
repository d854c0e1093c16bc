import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { dictionary } from '../../core/index.js';
import { type Graph, importTflite } from '../../formats/index.js';
import { buildFiles, readQuantization } from '../files.js';
import { arenaOf } from '../inspect/arena-of.js';
import { multiplyAdds, parameterCount } from '../inspect/costs.js';
import { type ModelFile, modelFileOf, readModelFile } from '../inspect/model-file.js';
import { precisionOf } from '../inspect/precision.js';
import { openModelProject } from '../material.js';
import { isModelPath } from '../verify.js';
import type { Side } from './result.js';

/** One of two models, opened. */
export interface Opened {
  model: ModelFile;
  graph: Graph;
  metadata: Uint8Array | null;
  /** Folder of the project whose build it is. */
  project: string | null;
}

/** Gets the bundle of a version such as `har@3`. */
export type GetVersion = (reference: string) => Promise<Uint8Array>;

/**
 * A .tflite or .aiot file, the quantized network in a project's build, or a version of the platform.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_MODEL_NOT_BUILT, and what `getVersion` throws
 */
export async function openSide(path: string, getVersion?: GetVersion): Promise<Opened> {
  if (getVersion && path.includes('@') && !(await isModelPath(path))) {
    const model = modelFileOf(path, await getVersion(path));
    return { model, ...importTflite(model.network), project: null };
  }
  const isFolder = (await stat(path).catch(() => null))?.isDirectory() ?? false;
  const model = await readModelFile(isFolder ? await networkOf(path) : path);
  return { model, ...importTflite(model.network), project: isFolder ? path : null };
}

async function networkOf(dir: string): Promise<string> {
  const project = await openModelProject(dir);
  return join(buildFiles(project).folder, (await readQuantization(project)).file);
}

/** What its file says of it. */
export function sideOf({ model, graph }: Opened): Omit<Side, 'figures'> {
  const operators = dictionary<number>();
  for (const { op } of graph.operators) operators[op] = (operators[op] ?? 0) + 1;
  const tensors = graph.tensors.map(({ shape, data }) => ({ shape, constant: data !== undefined }));
  return {
    file: model.file,
    digest: model.digest,
    precision: precisionOf(graph),
    bytes: model.network.length,
    arenaBytes: arenaOf(graph),
    macs: graph.operators.reduce((sum, operator) => sum + multiplyAdds(graph, operator), 0),
    parameters: parameterCount(graph.operators, tensors),
    operators,
  };
}
