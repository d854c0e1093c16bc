import { malformed } from '../errors.js';
import { namedWeights } from '../keras/named-weights.js';
import type { KerasModel } from '../keras/types.js';
import { childOf, datasetsIn, isGroup, openHdf5, textAttribute, weightOf } from './hdf5.js';
import { isModel, parseJson } from './json.js';

/**
 * A whole model in one HDF5 file, as Keras 2 wrote it and Keras 3 still does (.h5): the configuration is an attribute, the weights lie
 * under their names in `model_weights`.
 * @throws AIOT_FILE_MALFORMED
 */
export async function readKerasH5(bytes: Uint8Array): Promise<KerasModel> {
  const root = await openHdf5(bytes);
  const text = textAttribute(root, 'model_config');
  if (text === undefined)
    throw malformed('it holds weights without a model: save the whole model, as .keras or with model.save');
  const model = parseJson(text, 'its model_config');
  const weights = childOf(root, 'model_weights');
  if (!isModel(model) || !isGroup(weights)) throw malformed('it holds no model with weights');
  const named = [...datasetsIn(weights)].map(({ path, dataset }) => ({
    segments: path,
    weight: () => weightOf(dataset, path.join('/')),
  }));
  return {
    model,
    weights: namedWeights(named),
    writer: `Keras ${textAttribute(root, 'keras_version') ?? ''}`.trim(),
  };
}
