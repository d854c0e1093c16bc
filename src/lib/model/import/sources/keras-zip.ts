import { readZip } from '../../../formats/index.js';
import { malformed } from '../errors.js';
import type { KerasModel, Weight, WeightSource } from '../keras/types.js';
import {
  childOf,
  datasetsIn,
  type Group,
  isGroup,
  keysOf,
  nodeOf,
  openHdf5,
  textAttribute,
  weightOf,
} from './hdf5.js';
import { isModel, parseJson } from './json.js';

/**
 * A .keras file of Keras 3: a zip with config.json, metadata.json and model.weights.h5. The weights lie in groups that count classes
 * (`layers/dense_1/vars/0`), in the order Keras makes them; the group's attribute `name` is the layer's own name.
 * @throws AIOT_FILE_MALFORMED
 */
export async function readKerasZip(bytes: Uint8Array): Promise<KerasModel> {
  const files = readZip(bytes, ['config.json', 'metadata.json', 'model.weights.h5']);
  const [config, weights] = [files.get('config.json'), files.get('model.weights.h5')];
  if (!config || !weights) throw malformed('expected config.json and model.weights.h5 in the archive');
  const model = parseJson(config, 'config.json');
  if (!isModel(model)) throw malformed('config.json holds no model');
  const { keras_version: version } = parseJson(files.get('metadata.json'), 'metadata.json') as {
    keras_version?: string;
  };
  return { model, weights: byPlace(await openHdf5(weights)), writer: `Keras ${version ?? '3'}` };
}

function byPlace(root: Group): WeightSource {
  return {
    of: (path, roles) => {
      if (roles.length === 0) return [];
      let group: Group = root;
      for (const name of path) group = layerGroup(group, name, path);
      const vars = childOf(group, 'vars');
      if (!isGroup(vars)) throw malformed(`there are no weights of ${path.join('/')}`);
      const found = [...datasetsIn(vars)].sort((a, b) => Number(a.path[0]) - Number(b.path[0]));
      // A Dropout's seed and the like come after what the layer computes with.
      if (found.length < roles.length)
        throw malformed(`${path.join('/')}: expected ${roles.join(', ')}, got ${found.length} array(s)`);
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
  throw malformed(`there are no weights of ${path.join('/')}`);
}
