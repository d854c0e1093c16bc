import type { Project } from '../../src/lib/core/project.js';
import type { ProjectConfig } from '../../src/lib/core/project-schema.js';
import type { Dataset } from '../../src/lib/data/types.js';
import { featureNames, signalSpecOf } from '../../src/lib/signal/spec.js';
import { materialOf, withHeldStairs } from './material.js';
import { type Recipe, recipes } from './recipes.js';
import { fiveFolds, measure, type Part } from './study.js';

type Signal = ProjectConfig['signal'];

/** The signal settings for the feature set `har`, whose wavelets of six levels need windows of 5 s at 100 Hz. */
const harSignal = { resample: 100, window: 500, stride: 250, features: 'har' } satisfies Partial<Signal>;

/** Feature sets to compare: the template's own, all of `spectral`, `spectral` without the features in question, and `har`. */
function variants(signal: Signal, project: Project): Record<string, Signal> {
  const spectral = { ...signal, features: 'spectral' as const };
  const names = featureNames(signalSpecOf({ ...project.config, signal: spectral }));
  const without = (pattern: RegExp) => ({ ...signal, features: names.filter((name) => !pattern.test(name)) });
  return {
    'motion: 36, independent of orientation, up to 12 Hz': signal,
    'spectral: 30, axis by axis, up to 25 Hz': spectral,
    'spectral without the octave above 12.5 Hz': without(/share_octave5$/),
    'spectral without that octave and the direction of gravity': without(/share_octave5$|_rms$/),
    'har: 115, axis by axis, up to 50 Hz': { ...signal, ...harSignal },
  };
}

/**
 * Evaluates one recipe with different features, split by recording, to show how much the features contribute, and whether the contribution
 * comes from motion. Nothing is selected based on the result.
 */
export async function compareFeatures(
  project: Project,
  dataset: Dataset,
  vote: string,
  onPart: (part: Part) => void,
): Promise<Part[]> {
  const parts: Part[] = [];
  for (const [name, signal] of Object.entries(variants(project.config.signal, project))) {
    const own = { ...project, config: { ...project.config, signal } };
    const factor =
      (signal.resample ?? signal.rate) / (project.config.signal.resample ?? project.config.signal.rate);
    const recipe: Recipe = { ...recipes.find((one) => one.name === 'dense')! };
    recipe.stride *= factor;
    const material = materialOf(own, dataset);
    const asked = { vote, recipes: [recipe], members: 1, control: materialOf(own, withHeldStairs(dataset)) };
    const { part, control } = await measure(name, material, fiveFolds(material), asked);
    for (const one of [part, control]) {
      if (!one) continue;
      parts.push(one);
      onPart(one);
    }
  }
  return parts;
}
