import { canonicalJson } from '../../core/index.js';
import { writeZip } from '../../formats/index.js';
import type { Bundle, NetworkBundle } from '../../model/index.js';

/**
 * What is known of a training, as the guide's full/ has trainings: a folder in a zip. It holds what the bundle does: the
 * network, what goes into it, golden vectors and where it all comes from. It is no SavedModel: that is TensorFlow's own.
 * @param modified ms since 1970
 */
export function trainingZip(
  { info, model, golden, lineage }: Bundle | NetworkBundle,
  modified: number,
): Uint8Array {
  const json = (name: string, value: unknown) => ({
    name: `model/${name}`,
    data: Buffer.from(`${canonicalJson(value)}\n`),
  });
  return writeZip(
    [
      { name: 'model/model.tflite', data: model },
      json('bundle.json', info),
      json('golden.json', golden),
      json('lineage.json', lineage),
    ],
    modified,
  );
}
