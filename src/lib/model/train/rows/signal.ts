import type { Project } from '../../../core/index.js';
import { featureNames, type SignalSpec, signalSpecOf } from '../../../signal/index.js';

/**
 * The signal part of a model that is trained on rows. Columns that are the project's own features, by name and in order, are
 * windows of its signal; otherwise a row is one sample of a signal of its own: window 1, as it stands.
 */
export function signalOfRows({ config }: Project, columns: string[]): { signal: SignalSpec; own: boolean } {
  if (Object.keys(config.stream.fields).length > 0) {
    const signal = signalSpecOf(config);
    if (featureNames(signal).join('\n') === columns.join('\n')) return { signal, own: true };
  }
  return {
    signal: {
      fields: columns,
      rateHz: 1,
      lowpassHz: null,
      resampleHz: 1,
      windowSamples: 1,
      strideSamples: 1,
      features: 'raw',
    },
    own: false,
  };
}
