import { percent } from '../../core/figures.js';
import type { SignalSpec } from '../../signal/spec.js';
import { ignoredBand } from '../features/choose.js';
import type { Dataset, Finding } from '../types.js';

/**
 * Finds features or a low-pass that exclude the frequencies in which the classes differ. Uses `ignoredBand`, which tests this on held-out
 * recordings.
 * @param classOf class of each label; undefined = each label is its own class
 */
export function checkBand(
  { recordings }: Dataset,
  spec: SignalSpec,
  classOf: Map<string, string> | undefined,
): Finding[] {
  const classified = recordings.map((recording) => ({
    ...recording,
    label: recording.label === null || !classOf ? recording.label : (classOf.get(recording.label) ?? null),
  }));
  const found = ignoredBand(spec, classified);
  if (found === null) return [];
  const { settings, topHz, nyquistHz, accuracy, chance } = found;
  const byFeatures = settings.includes('signal.features');
  const cause =
    settings.length > 1
      ? `\`signal.features: motion\` and \`signal.lowpass\` ignore`
      : byFeatures
        ? '`signal.features: motion` ignores'
        : '`signal.lowpass` removes';
  const remedies = [
    ...(byFeatures ? ['set `signal.features` to `spectral`'] : []),
    ...(settings.includes('signal.lowpass') ? ['remove `signal.lowpass`'] : []),
  ].join(' and ');
  return [
    {
      kind: 'band',
      severity: 'warning',
      confidence: 'likely',
      files: [],
      evidence: { settings, topHz, nyquistHz, chosen: accuracy.chosen, whole: accuracy.whole, chance },
      message: `${cause} frequencies above ${hz(topHz)} Hz, in which the classes differ: a linear model gets ${percent(accuracy.chosen)} of the windows right without them, and ${percent(accuracy.whole)} with frequencies up to ${hz(nyquistHz)} Hz, on held-out recordings`,
      advice: `In aiot.yaml, ${remedies}.`,
    },
  ];
}

const hz = (value: number) => Number(value.toPrecision(4));
