import { canonicalJson } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';

interface Row {
  name: string;
  definition: string;
}

/**
 * Compares a project's alarms, or its notification targets, with the existing ones.
 * @param kind.read parses a row's definition
 * @throws AIOT_ALREADY_EXISTS (the name belongs to another project), AIOT_REQUEST_INVALID (the same name twice)
 */
export function planOf<T extends Row>(
  project: string,
  rows: readonly T[],
  known: readonly T[],
  { noun, read }: { noun: 'alarm' | 'alarm target'; read: (row: T) => { project?: string | undefined } },
) {
  const [created, changed, unchanged]: [T[], T[], T[]] = [[], [], []];
  for (const [i, row] of rows.entries()) {
    const { name } = row;
    if (rows.findIndex((other) => other.name === name) !== i)
      throw new AiotError('AIOT_REQUEST_INVALID', `expected each ${noun} once; got ${name} twice`);
    const before = known.find((other) => other.name === name);
    const owner = before && read(before).project;
    if (owner !== undefined && owner !== project)
      throw new AiotError('AIOT_ALREADY_EXISTS', `the ${noun} ${name} belongs to the project ${owner}`, {
        next: `Choose another name in aiot.yaml, or remove it with \`aiot ${noun} remove ${name}\`.`,
      });
    const isSame = before && canonicalJson(read(before)) === canonicalJson(read(row));
    (before === undefined ? created : isSame ? unchanged : changed).push(row);
  }
  const removed = known.filter(
    (row) => read(row).project === project && !rows.some(({ name }) => name === row.name),
  );
  return { created, changed, removed, unchanged };
}

/** The names of a plan's rows, sorted. */
export function namesOf<T extends Row>(plan: ReturnType<typeof planOf<T>>) {
  const names = (list: readonly T[]) => list.map(({ name }) => name).sort();
  return {
    ...{ created: names(plan.created), changed: names(plan.changed) },
    ...{ removed: names(plan.removed), unchanged: names(plan.unchanged) },
  };
}
