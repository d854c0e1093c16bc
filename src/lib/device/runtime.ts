import type { Predictor } from '../model/bundle/predictor.js';
import type { SignalSpec } from '../signal/spec.js';

/** A bundle that is in use. */
export interface LoadedModel {
  /** Fields of one sample, in order. */
  fields: string[];
  /** Hz, as samples arrive; null = each sample is answered by itself, at whatever rate. */
  rateHz: number | null;
  classes: string[];
  /** Memory that its tensors take. */
  arenaBytes: number;
  createPredictor(): Pick<Predictor, 'push' | 'reset'>;
}

/** What a device does with bundles, as a port: tests put their own in. */
export interface ModelRuntime {
  /** @throws AIOT_BUNDLE_MALFORMED */
  load(bundle: Uint8Array): Promise<LoadedModel>;
  /** Runs the bundle's golden vectors. @throws AIOT_BUNDLE_MALFORMED */
  checkGolden(bundle: Uint8Array): Promise<{ vectors: number; passed: number }>;
}

/** A window of one sample as it came: what a model of a table's rows takes. */
function isTimeless({ windowSamples, lowpassHz, resampleHz, rateHz }: SignalSpec): boolean {
  return windowSamples === 1 && lowpassHz === null && resampleHz === rateHz;
}

/** What a device loads with its first update. */
export const laterParts = [() => import('../model/index.js'), () => import('undici')];

/** The model room's interpreter: bit-exact, as on a chip. */
export const interpreterRuntime: ModelRuntime = {
  async load(bytes) {
    const { createPredictor, unpackBundle } = await import('../model/index.js');
    const bundle = unpackBundle(bytes);
    const { signal, classes, arenaBytes } = bundle.info;
    return {
      fields: signal.fields,
      rateHz: isTimeless(signal) ? null : signal.rateHz,
      ...{ classes, arenaBytes },
      createPredictor: () => createPredictor(bundle),
    };
  },
  async checkGolden(bytes) {
    const { checkGolden, unpackBundle } = await import('../model/index.js');
    return checkGolden(unpackBundle(bytes));
  },
};
