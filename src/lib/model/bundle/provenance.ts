import { aiotVersion } from '../../core/index.js';
import type { NetworkMode } from '../../formats/index.js';
import type { Built } from '../built.js';
import type { TrainingFile } from '../train/types.js';
import type { Provenance, RecordingPart } from './provenance-schema.js';

/**
 * Where a built model comes from, as far as its steps wrote it down.
 * @param evaluation digest of build/evaluation.json and the vote it was counted with
 * @param run of a pipeline, whose step this is
 */
export function provenanceOf(
  built: Built,
  mode: NetworkMode,
  evaluation: { digest: string; vote: string },
  run?: Provenance['run'],
): Provenance {
  const { training, dataset, rows, int8 } = built;
  const { lineage, network, split, backend } = training;
  const partOf = partsOf(split);
  return {
    spec: 'aiot-lineage/1',
    network: { digest: int8.digest, mode },
    float: { digest: training.digest },
    training: {
      kind: network.kind,
      configDigest: lineage.configDigest,
      seed: split.seed,
      epochs: training.history.length || null,
      bestEpoch: training.bestEpoch || null,
      backend: backend ?? null,
      tools: { aiot: lineage.aiot, 'aiot bundle': aiotVersion() },
      created: lineage.created,
    },
    evaluation,
    dataset: {
      name: dataset.name,
      digest: dataset.digest,
      source: rows ? 'table' : 'recordings',
      samples: lineage.dataset.samples,
    },
    recordings: rows
      ? null
      : dataset.recordings.map(({ id, label, device, startedAt, columns }) => ({
          id,
          label,
          device,
          part: partOf.get(id) ?? 'none',
          samples: columns[0]?.length ?? 0,
          startedAt,
        })),
    ...(run ? { run } : {}),
  };
}

function partsOf(split: TrainingFile['split']): Map<string, RecordingPart> {
  const of = (part: 'train' | 'validation' | 'test') => split[part].map((id) => [id, part] as const);
  return new Map<string, RecordingPart>([...of('train'), ...of('validation'), ...of('test')]);
}
