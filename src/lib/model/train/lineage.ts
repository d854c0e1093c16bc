import { resolve } from 'node:path';
import { canonicalJson, digestOf } from '../../core/crypto.js';
import { aiotVersion } from '../../core/folders.js';
import type { Project } from '../../core/project.js';
import type { ProjectConfig } from '../../core/project-schema.js';
import { sampleCount } from '../../data/dataset/open.js';
import type { Split } from '../../data/types.js';
import type { Lineage } from '../bundle/types.js';
import type { Material } from '../material.js';
import type { Division } from './examples/parts.js';
import type { TrainingSource } from './types.js';

/**
 * Path to record for a data source. For the project's own table, this is the path in aiot.yaml, so that the folder may be moved or copied.
 */
export function sourceOf(
  { dir, config }: Project,
  { rows }: Material,
  { parts }: Pick<Division, 'parts'>,
): TrainingSource {
  if (!rows) return { kind: 'recordings' };
  const { table, label } = rows;
  const own = config.model.table?.file;
  const file = own !== undefined && resolve(dir, own) === rows.file ? own : rows.file;
  return { kind: 'table', file, label, columns: table.columns, parts: parts ?? '' };
}

/** A model's lineage. A table's groups count as recordings, and its rows as samples. */
export function lineageOf(project: Project, { dataset, rows }: Material, split: Split): Lineage {
  return {
    dataset: {
      name: dataset.name,
      digest: dataset.digest,
      recordings: rows ? (rows.table.groups ?? 0) : dataset.recordings.length,
      samples: rows ? rows.table.rows : sampleCount(dataset.recordings),
    },
    split,
    configDigest: configDigestOf(project),
    aiot: aiotVersion(),
    created: Date.now(),
  };
}

/** Digest of the settings that determine the trained model. */
export function configDigestOf({ config }: Project): string {
  return digestOf(canonicalJson(trainingConfig(config)));
}

/**
 * The parts of aiot.yaml that do not affect the trained model: where the project runs, what runs next to it, and what triggers training.
 */
const without = new Set(['alarms', 'loop', 'up', 'pipeline']);

/**
 * aiot.yaml except for the parts in `without`, which identifies a training run. Tree settings are included only if trees are trained, and
 * picture settings only for pictures, so that other projects keep the identity that they had before.
 */
export function trainingConfig(config: ProjectConfig): Partial<ProjectConfig> {
  const parts: Partial<ProjectConfig> = Object.fromEntries(
    Object.entries(config).filter(([name]) => !without.has(name)),
  );
  const { kind, train } = config.model;
  const own: Partial<typeof train> = { ...train };
  if (kind !== 'forest') delete own.forest;
  if (config.signal.features !== 'image') {
    const { flip: _flip, crop: _crop, brightness: _brightness, ...augment } = train.augment;
    own.augment = augment as typeof train.augment;
  }
  return { ...parts, model: { ...config.model, train: own as typeof train } };
}
