import { AiotError, type Project } from '../../core/index.js';
import { checkSplit, leakError, type Split } from '../../data/index.js';
import type { Material } from '../material.js';
import { type Division, truthOf } from './parts.js';
import type { Plan } from './plan.js';
import { requireGroups } from './rows/groups.js';
import { splitRows } from './rows/split.js';
import { splitRecordings } from './split.js';

/**
 * Which examples are in which part.
 * @param asked split that was asked for on the spot: rows that do not tell what it needs are not divided by chance instead
 * @throws AIOT_DATA_*, AIOT_LABEL_UNKNOWN, AIOT_USAGE
 */
export function divide({ config }: Project, material: Material, plan: Plan, asked?: Split['by']): Division {
  const { rows, dataset } = material;
  const { network, classes, signal } = plan;
  const base = { network, classes, signal };
  const { kind } = network.output;
  if (!rows) return { ...base, split: splitRecordings(dataset, config.model, kind, classes), parts: null };
  if (asked === 'recording' || asked === 'device') {
    requireGroups(material, 'Add such a column, or divide by chance: leave out --split');
  }
  const { split, train } = config.model;
  return { ...base, ...splitRows(rows, truthOf(base), { output: kind, wanted: split, seed: train.seed }) };
}

/**
 * Leaks of a split that is used all the same, in sentences. Of a table none are looked for: equal rows stay together.
 * @throws AIOT_DATA_LEAK unless told to go on
 */
export function leaksOf({ dataset, rows }: Material, { split, signal }: Division, force = false): string[] {
  if (rows) return [];
  const findings = checkSplit(dataset, split, signal);
  const error = leakError(findings);
  if (error && !force) {
    throw new AiotError(error.code, error.message, {
      cause: error,
      next: 'Split by recording, device or time (model.split), or train all the same with --force: the report says so first.',
    });
  }
  return findings
    .filter(({ kind, severity }) => kind === 'leak' && severity === 'error')
    .map(({ message }) => message);
}
