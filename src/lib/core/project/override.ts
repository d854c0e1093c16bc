import { AiotError } from '../errors/index.js';
import { problemsOf } from '../issues.js';
import { crossChecks } from './cross-checks.js';
import type { Project } from './load.js';
import { type ProjectConfig, projectSchema } from './schema.js';

type Model = ProjectConfig['model'];
/** Fields of model, and of model.train and model.signal, that take another value for one run. */
export interface Overrides {
  model?: Partial<Pick<Model, 'kind' | 'layers' | 'output' | 'split'>>;
  train?: Partial<Model['train']>;
  signal?: Partial<ProjectConfig['signal']>;
}

/**
 * The project with other values for one run; aiot.yaml is left as it is. Another kind without layers has the kind's own.
 * @throws AIOT_USAGE, naming the field
 */
export function overrideProject(
  project: Project,
  { model = {}, train = {}, signal = {} }: Overrides,
): Project {
  const { config } = project;
  const other = model.kind !== undefined && model.kind !== config.model.kind;
  const layers = model.layers ?? (other ? undefined : config.model.layers);
  const changed = {
    ...config,
    signal: { ...config.signal, ...given(signal) },
    model: { ...config.model, ...given(model), layers, train: { ...config.model.train, ...given(train) } },
  };
  const parsed = projectSchema.safeParse(changed);
  const [problem] = parsed.success
    ? crossChecks(parsed.data, {})
    : problemsOf(parsed.error, { value: changed });
  if (problem || !parsed.success) {
    throw new AiotError('AIOT_USAGE', `${problem?.path.join('.')}: ${problem?.message}`, {
      next: 'docs/project.md describes what fits together.',
    });
  }
  return { ...project, config: parsed.data };
}

/** Without members that are undefined: they would hide what is in the file. */
function given<T extends object>(values: T): Partial<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<T>;
}
