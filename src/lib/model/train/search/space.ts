import type { Overrides, Project, ProjectConfig, Random } from '../../../core/index.js';
import type { NetworkKind } from '../../network/layers.js';

/** One network and signal part to try. */
export interface Choice {
  kind: NetworkKind;
  layers: number[];
  /** undefined for rows of a table. */
  signal?: Pick<ProjectConfig['signal'], 'features' | 'window' | 'stride'>;
}

const units = [8, 12, 16, 24, 32, 48, 64];
const filters = [8, 12, 16, 24, 32];
/** Of the window that aiot.yaml has. */
const windowShares = [0.5, 0.75, 1, 1, 1.5];

/** What can be chosen from. */
export interface Space {
  /** Kinds that were not left open. */
  kind: NetworkKind | undefined;
  /** Feature sets that fit the fields, the project's own among them; empty for rows. */
  features: ProjectConfig['signal']['features'][];
}

/** Feature sets worth trying for these fields. */
export function spaceOf({ config }: Project, rows: boolean, kind: NetworkKind | undefined): Space {
  if (rows) return { kind, features: [] };
  const own = config.signal.features;
  const three = Object.keys(config.stream.fields).length === 3;
  const named = (
    three ? ['raw', 'motion', 'spectral', 'har'] : ['raw', 'spectral']
  ) as ProjectConfig['signal']['features'][];
  const dense = kind === 'mlp';
  const open = named.filter((set) => (kind === undefined ? true : dense ? set !== 'raw' : set === 'raw'));
  const features =
    open.some((set) => set === own) || (kind !== undefined && !dense && own !== 'raw')
      ? open
      : [own, ...open];
  return { kind, features };
}

/** Draws one; equal chance gives equal choices. */
export function drawn(project: Project, space: Space, random: Random): Choice {
  const of = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]!;
  const { window, stride } = project.config.signal;
  const set = space.features.length > 0 ? of(space.features) : undefined;
  const share = of(windowShares);
  const scaled = Math.max(2, Math.round(window * share));
  const signal = set && { features: set, window: scaled, stride: Math.max(1, Math.round(stride * share)) };
  const kind = space.kind ?? (set === 'raw' ? of(['cnn1d', 'ds-cnn'] as const) : 'mlp');
  const dense = kind === 'mlp';
  const depth = dense ? 1 + Math.floor(random() * 3) : 2 + Math.floor(random() * 2);
  const sizes = Array.from({ length: depth }, () => of(dense ? units : filters));
  // Dense layers narrow, convolutions widen.
  sizes.sort((a, b) => (dense ? b - a : a - b));
  return { kind, layers: sizes, ...(signal && { signal }) };
}

export function overridesOf({ kind, layers, signal }: Choice): Overrides {
  // Several members join where all layers are dense.
  const alone = kind === 'mlp' ? {} : { train: { members: 1 } };
  return { model: { kind, layers }, ...alone, ...(signal && { signal }) };
}
