import { dirname, join } from 'node:path';
import * as z from 'zod';
import { withGuide } from '../../api/context.js';
import type { GuideClient } from '../../api/guide/client.js';
import type { PlatformContext } from '../../core/contexts.js';
import { digestOf } from '../../core/crypto.js';
import { AiotError, systemCode } from '../../core/errors.js';
import { readBytes, writeFileAtomic } from '../../core/files.js';
import type { Project } from '../../core/project.js';
import { writeSavedModel } from '../../formats/saved-model.js';
import { elementCount, type Graph, type Tensor } from '../../formats/tflite/graph.js';
import { importTflite } from '../../formats/tflite/read.js';
import { withRealValues } from '../../formats/tflite/real-values.js';
import { writeTflite } from '../../formats/tflite/write.js';
import { floatView } from '../../runtime/litert.js';
import type { Standardization } from '../../signal/spec.js';
import { bundleProject } from '../bundle/bundle-project.js';
import { unpackAny } from '../bundle/pack.js';
import type { Bundle, NetworkBundle } from '../bundle/types.js';
import { requireAccepted } from '../evaluate/evaluate-project.js';
import { isStandardizing, standardizationIn } from '../file-metadata.js';
import { modelName, readEvaluation, readQuantization } from '../files.js';
import type { DataSource } from '../material.js';
import { bundleOfFile } from './push.js';

/** A model uploaded to an installation of the guide. */
export const guidePushedSchema = z.object({
  kind: z.literal('architects-guide'),
  /** The pushed file. */
  file: z.string(),
  /** The file's name on the server. */
  name: z.string(),
  url: z.string(),
  /** Size of the uploaded file in bytes, at least as long as the firmware reads. Inputs and outputs are float. */
  bytes: z.int(),
  digest: z.string(),
  /** Message that makes the guide's boards fetch the model, on the control-message topic in MQTT or Kafka. */
  message: z.string(),
  /** Whether the guide's firmware reads the whole model: it reads a fixed number of bytes. */
  whole: z.boolean(),
});

export type GuidePushed = z.output<typeof guidePushedSchema>;

interface GuidePushOptions extends DataSource {
  client: GuideClient;
  /** A .aiot or .tflite file. Default: the project's accepted network. */
  path: string | null;
  project: Project | null;
  /** ms since 1970 */
  at: number;
}

/**
 * Uploads a network in the format that the guide's clients accept. Nothing is signed, because those clients would not verify it. For a
 * project, the message for the boards is written next to the bundle (build/download-model.json).
 * @throws as `pushModel` and `pushFile`, and any client error
 */
export async function pushToGuide(options: GuidePushOptions): Promise<GuidePushed> {
  const { client, at } = options;
  const { content, file } = await contentOf(options);
  const bytes = guideNetwork(unpackAny(content));
  const name = guideModelName(at);
  const { url } = await client.upload(name, bytes);
  const message = JSON.stringify({ command: 'download-model', payload: name });
  if (options.path === null) await writeFileAtomic(join(dirname(file), 'download-model.json'), message);
  return {
    ...{ kind: 'architects-guide', file, name, url, message },
    ...{ bytes: bytes.length, digest: digestOf(bytes), whole: bytes.length <= guideReads },
  };
}

async function contentOf({ path, project, data }: GuidePushOptions) {
  if (path !== null) return { content: (await bundleOfFile(path)).content, file: path };
  if (project === null) throw new AiotError('AIOT_USAGE', 'expected a project or a file');
  const { digest } = await readQuantization(project);
  requireAccepted(await readEvaluation(project), digest, project);
  const { bytes, file } = await bundleProject({ project, data, name: modelName(project) });
  return { content: bytes, file };
}

/** A model on an installation of the guide: only a file. */
export const guideModelSchema = z.object({
  kind: z.literal('architects-guide'),
  name: z.string(),
  url: z.string(),
});

type GuideModel = z.output<typeof guideModelSchema>;

export const guidePulledSchema = guideModelSchema.extend({
  /** The output file. */
  file: z.string(),
  bytes: z.int(),
  digest: z.string(),
  /** Whether the file already existed with the same bytes. */
  unchanged: z.boolean(),
});

type GuidePulled = z.output<typeof guidePulledSchema>;

/** Lists the models of an installation of the guide, oldest first. @throws any client error */
export function listGuideModels(context: PlatformContext): Promise<GuideModel[]> {
  return withGuide(context, modelsOf);
}

/**
 * Downloads a model from an installation of the guide into a folder. The model is unsigned, so nothing verifies the bytes that the server
 * sent. @param name the file's name, or `latest` @throws AIOT_NOT_FOUND, AIOT_PLATFORM_FAILED, AIOT_FOLDER_NOT_EMPTY, and any client error
 */
export function pullFromGuide(
  context: PlatformContext & { name: string },
  name: string,
  out: string,
): Promise<GuidePulled> {
  return withGuide(context, async (client) => {
    const models = await modelsOf(client);
    const model = name === 'latest' ? models.at(-1) : models.find((one) => one.name === name);
    if (!model) throw unknownModel(context.name, name, models);
    const bytes = await client.download(model.name);
    // In a FlatBuffer, the identifier follows the root's offset (TensorFlow Lite's schema).
    if (Buffer.from(bytes.subarray(4, 8)).toString('latin1') !== 'TFL3')
      throw new AiotError('AIOT_PLATFORM_FAILED', `${model.url} is not a TensorFlow Lite model`, {
        endpoint: model.url,
        next: 'Pull another version, or push a .tflite file again with `aiot model push FILE`.',
      });
    const file = join(out, model.name);
    const digest = digestOf(bytes);
    const before = await digestThere(file);
    if (before !== null && before !== digest)
      throw new AiotError('AIOT_FOLDER_NOT_EMPTY', `${file} already exists with different contents`, {
        endpoint: file,
        next: 'Choose another folder with --out, or move the file.',
      });
    if (before === null) await writeFileAtomic(file, bytes);
    return { ...model, file, bytes: bytes.length, digest, unchanged: before !== null };
  });
}

async function modelsOf(client: GuideClient): Promise<GuideModel[]> {
  return (await client.models()).map((model) => ({ kind: 'architects-guide', ...model }));
}

async function digestThere(file: string): Promise<string | null> {
  try {
    return digestOf(await readBytes(file));
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || Reflect.get(error as object, 'code') === 'AIOT_FILE_NOT_FOUND')
      return null;
    throw error;
  }
}

function unknownModel(context: string, name: string, models: readonly GuideModel[]): AiotError {
  return new AiotError(
    'AIOT_NOT_FOUND',
    models.length === 0 ? `${context} has no models yet` : `${context} has no model ${name}`,
    { next: `To see its models, run \`aiot model list --context ${context}\`.` },
  );
}

/** Number of bytes of a model that the guide's firmware reads, regardless of the model's length. */
const guideReads = 11_148;

type Model = Pick<Bundle, 'info' | 'model'> | Pick<NetworkBundle, 'info' | 'model'>;

/**
 * A network in the form that the guide's firmware and its Coral step accept: a .tflite file of schema version 3 with raw readings as input.
 * Float inputs and outputs surround the same integer network. The file is padded with zeros to the length that the firmware reads; TFLite
 * readers ignore bytes after the FlatBuffer.
 * @throws AIOT_TFLITE_MALFORMED, AIOT_TFLITE_UNSUPPORTED
 */
export function guideNetwork(model: Model): Uint8Array {
  const bytes = writeTflite(ofReadings(model, floatView));
  if (bytes.length >= guideReads) return bytes;
  const padded = new Uint8Array(guideReads);
  padded.set(bytes);
  return padded;
}

/**
 * Like `guideNetwork`, but in the form that the guide's quantize step accepts: saved_model.pb, with real numbers throughout.
 * @throws as `guideNetwork`
 */
export function guideSavedModel(model: Model): Uint8Array {
  return writeSavedModel(ofReadings(model, withRealValues));
}

/** `YYYY-MM-DD-HH:MM:SS-model.tflite` in UTC, as the guide's containers name models. Their clients pick the last one in the list. */
export function guideModelName(at: number): string {
  return `${new Date(at).toISOString().slice(0, 19).replace('T', '-')}-model.tflite`;
}

/**
 * The network with float inputs and outputs (converted by `widened`). The standardization is prepended, because the guide's clients do not
 * apply it.
 */
function ofReadings({ info, model }: Model, widened: (graph: Graph) => Graph): Graph {
  const { graph, metadata } = importTflite(model);
  const by =
    info.kind === 'model'
      ? info.standardization
      : standardizationIn(metadata, elementCount(info.input.shape));
  return by && isStandardizing(by) ? standardizing(widened(graph), by) : widened(graph);
}

/**
 * The network with a standardization before its single float32 input: the mean is subtracted, then the result is divided by the deviation,
 * with one constant per input. A factor and an offset, or modified first-layer weights, would be inaccurate: with a large mean and a small
 * deviation, single precision would lose the significant digits. The input keeps its name.
 */
export function standardizing(graph: Graph, { mean, deviation }: Standardization): Graph {
  const [x = -1] = graph.inputs;
  const { name, shape } = graph.tensors[x]!;
  const tensors: Tensor[] = [...graph.tensors];
  const add = (tensor: Omit<Tensor, 'shape' | 'type'>) =>
    tensors.push({ ...tensor, shape, type: 'float32' }) - 1;
  tensors[x] = { ...tensors[x]!, name: `${name}/standardized` };
  const raw = add({ name });
  const negated = add({ name: `${name}/mean`, data: Float32Array.from(mean, (value) => -value) });
  const factor = add({ name: `${name}/factor`, data: Float32Array.from(deviation, (value) => 1 / value) });
  const centred = add({ name: `${name}/centred` });
  return {
    ...graph,
    tensors,
    operators: [
      { op: 'ADD', inputs: [raw, negated], outputs: [centred], options: { activation: 'none' } },
      { op: 'MUL', inputs: [centred, factor], outputs: [x], options: { activation: 'none' } },
      ...graph.operators,
    ],
    inputs: [raw],
  };
}
