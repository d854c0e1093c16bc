import { AiotError, digestOf } from '../../core/index.js';
import { importTflite } from '../../formats/index.js';
import { endOf, modeOf } from './ends.js';
import { packBundle } from './pack.js';
import { unknownProvenance } from './provenance-schema.js';
import type { NetworkBundle } from './types.js';

/**
 * A .tflite file by itself as a bundle: it can be stored and verified, and no device runs it, for nobody said what goes
 * into it and what its outputs mean.
 * @throws AIOT_TFLITE_MALFORMED, AIOT_TFLITE_UNSUPPORTED, AIOT_MODEL_UNFIT (more than one input or output)
 */
export function networkBundle(name: string, model: Uint8Array, file: string): Uint8Array {
  try {
    const { graph } = importTflite(model);
    const mode = modeOf(graph);
    const info: NetworkBundle['info'] = {
      spec: 'aiot-bundle/2',
      kind: 'network',
      name,
      quantization: { mode },
      input: endOf(graph, 'inputs'),
      output: endOf(graph, 'outputs'),
    };
    return packBundle({ info, model, golden: [], lineage: unknownProvenance(digestOf(model), mode) });
  } catch (error) {
    if (!(error instanceof AiotError)) throw error;
    throw new AiotError(error.code, `${file}: ${error.message}`, { cause: error, next: error.next });
  }
}
