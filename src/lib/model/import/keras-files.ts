import type { Dataset, File, Group } from 'jsfive';
import { AiotError } from '../../core/errors.js';
import { plural } from '../../core/figures.js';
import { readZip } from '../../formats/zip.js';
import { isModel, malformed, parseJson } from './errors.js';
import { type KerasModel, namedWeights, type Weight, type WeightSource } from './keras/config.js';

export type { Group } from 'jsfive';

/**
 * Reads a .keras file of Keras 3: a zip with config.json, metadata.json and model.weights.h5. The weights are in groups numbered by class
 * (`layers/dense_1/vars/0`), in the order of creation; the group's attribute `name` is the layer's own name.
 * @throws AIOT_FILE_MALFORMED
 */
export async function readKerasZip(bytes: Uint8Array): Promise<KerasModel> {
  const files = readZip(bytes, ['config.json', 'metadata.json', 'model.weights.h5']);
  const [config, weights] = [files.get('config.json'), files.get('model.weights.h5')];
  if (!config || !weights) throw malformed('expected config.json and model.weights.h5 in the archive');
  const model = parseJson(config, 'config.json');
  if (!isModel(model)) throw malformed('config.json contains no model');
  const { keras_version: given } = parseJson(files.get('metadata.json'), 'metadata.json') as {
    keras_version?: string;
  };
  const version = String(given ?? '3');
  return { model, weights: byPlace(await openHdf5(weights)), writer: `Keras ${version}`, version };
}

function byPlace(root: Group): WeightSource {
  return {
    of: (path, roles, part) => {
      if (roles.length === 0) return [];
      let group: Group = root;
      for (const name of path) group = layerGroup(group, name, path);
      for (const name of part?.groups ?? []) {
        const next = childOf(group, name);
        if (!isGroup(next)) throw malformed(`the weights of ${path.join('/')} are missing`);
        group = next;
      }
      const vars = childOf(group, 'vars');
      if (!isGroup(vars)) throw malformed(`the weights of ${path.join('/')} are missing`);
      const found = [...datasetsIn(vars)].sort((a, b) => Number(a.path[0]) - Number(b.path[0]));
      // Additional arrays, such as a Dropout's seed, follow the layer's own weights.
      if (found.length < roles.length)
        throw malformed(
          `${path.join('/')}: expected ${roles.join(', ')}, got ${plural(found.length, 'array')}`,
        );
      return roles.map((role, place): Weight => weightOf(found[place]!.dataset, `${path.join('/')}/${role}`));
    },
  };
}

function layerGroup(group: Group, name: string, path: readonly string[]): Group {
  const layers = childOf(group, 'layers') ?? childOf(group, '_layer_checkpoint_dependencies');
  if (isGroup(layers)) {
    for (const key of keysOf(layers)) {
      const layer = nodeOf(layers, key);
      if (!isGroup(layer)) continue;
      const vars = childOf(layer, 'vars');
      if (isGroup(vars) && textAttribute(vars, 'name') === name) return layer;
    }
    const own = childOf(layers, name);
    if (isGroup(own)) return own;
  }
  throw malformed(`the weights of ${path.join('/')} are missing`);
}

/**
 * Reads a whole model from one HDF5 file in the format of Keras 2, which Keras 3 can still write (.h5). The configuration is an attribute;
 * the weights are under their names in `model_weights`.
 * @throws AIOT_FILE_MALFORMED
 */
export async function readKerasH5(bytes: Uint8Array): Promise<KerasModel> {
  const root = await openHdf5(bytes);
  const text = textAttribute(root, 'model_config');
  if (text === undefined)
    throw malformed(
      'the file contains weights without a model: save the whole model as .keras or with model.save',
    );
  const model = parseJson(text, 'its model_config');
  const weights = childOf(root, 'model_weights');
  if (!isModel(model) || !isGroup(weights)) throw malformed('the file contains no model with weights');
  const named = [...datasetsIn(weights)].map(({ path, dataset }) => ({
    segments: path,
    weight: () => weightOf(dataset, path.join('/')),
  }));
  const version = textAttribute(root, 'keras_version');
  return { model, weights: namedWeights(named), writer: `Keras ${version ?? ''}`.trim(), version };
}

/** Opens an HDF5 file in memory. @throws AIOT_FILE_MALFORMED */
async function openHdf5(bytes: Uint8Array): Promise<File> {
  const hdf5 = await import('jsfive');
  return guarded('it cannot be read as HDF5', () => {
    // Copied, because Buffers of small files share one block of memory.
    return new hdf5.File(new Uint8Array(bytes).buffer, 'model');
  });
}

function childOf(group: Group, name: string): Group | Dataset | undefined {
  return keysOf(group).includes(name) ? nodeOf(group, name) : undefined;
}

function keysOf(group: Group): string[] {
  return guarded('its groups cannot be read', () => group.keys);
}

function nodeOf(group: Group, name: string): Group | Dataset {
  return guarded(`${name} in it cannot be read`, () => group.get(name));
}

function isGroup(node: Group | Dataset | undefined): node is Group {
  // Only a group has a `keys` array.
  return (
    node !== undefined && Array.isArray(guarded('its groups cannot be read', () => (node as Group).keys))
  );
}

/** Limits for the nesting depth and the number of nodes, because a group in a damaged file may contain itself under many names. */
const deepest = 16;

const mostNodes = 3000;

/** All datasets below a group, with their paths. @throws AIOT_FILE_MALFORMED */
export function* datasetsIn(
  group: Group,
  path: string[] = [],
  seen = { nodes: 0 },
): Generator<{ path: string[]; dataset: Dataset }> {
  if (path.length > deepest) throw malformed(`its groups are nested more than ${deepest} deep`);
  for (const name of keysOf(group)) {
    seen.nodes++;
    if (seen.nodes > mostNodes) throw malformed(`it contains more than ${mostNodes} groups and arrays`);
    const node = nodeOf(group, name);
    if (isGroup(node)) yield* datasetsIn(node, [...path, name], seen);
    else yield { path: [...path, name], dataset: node };
  }
}

/** @throws AIOT_FILE_MALFORMED */
function weightOf(dataset: Dataset, name: string): Weight {
  return guarded(`the weights ${name} cannot be read`, () => {
    const { shape, value } = dataset;
    const data = Float32Array.from(value as ArrayLike<number>);
    if (data.length !== shape.reduce((a, b) => a * b, 1))
      throw new Error(`${data.length} numbers do not match the shape [${shape}]`);
    return { shape: [...shape], data };
  });
}

/** The text of an attribute written by h5py or Keras. */
function textAttribute(group: Group, name: string): string | undefined {
  const value = guarded(`its attribute ${name} cannot be read`, () => group.attrs[name]);
  const [text] = [value].flat();
  return typeof text === 'string' ? text : undefined;
}

/** Calls the library without console output, because the library prints names from the file unescaped. */
function guarded<T>(what: string, work: () => T): T {
  const { warn } = console;
  console.warn = () => {};
  try {
    return work();
  } catch (cause) {
    if (cause instanceof AiotError) throw cause;
    // Some errors thrown by the library have no message.
    const why = cause instanceof Error && cause.message ? cause.message : 'it is damaged or cut off';
    throw malformed(`${what}: ${why}`, { cause });
  } finally {
    console.warn = warn;
  }
}
