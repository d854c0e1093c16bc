import type { Predictor } from '../model/bundle/predictor.js';
import type { SignalSpec } from '../signal/spec.js';

export interface LoadedModel {
  /** Fields of one sample, in order. */
  fields: string[];
  /** Input sample rate, Hz; null = each sample is predicted individually, at any rate. */
  rateHz: number | null;
  /** Size of the pictures, in pixels; absent = its windows are no pictures. */
  size?: { width: number; height: number };
  classes: string[];
  /** Memory for the model's tensors, bytes. */
  arenaBytes: number;
  createPredictor(): Pick<Predictor, 'push' | 'reset'>;
}

/** A device's operations on bundles, as an interface that tests can replace. */
export interface ModelRuntime {
  /** @throws AIOT_BUNDLE_MALFORMED */
  load(bundle: Uint8Array): Promise<LoadedModel>;
  /** Runs the bundle's golden vectors. @throws AIOT_BUNDLE_MALFORMED */
  checkGolden(bundle: Uint8Array): Promise<{ vectors: number; passed: number }>;
}

/** Whether a window is one unprocessed sample, as for a model of table rows. */
function isTimeless({ windowSamples, lowpassHz, resampleHz, rateHz }: SignalSpec): boolean {
  return windowSamples === 1 && lowpassHz === null && resampleHz === rateHz;
}

/** Modules that a device loads only at its first update. */
export const laterParts = [() => import('../model/index.js'), () => import('undici')];

/** The interpreter of the model module: bit-exact with the chip. */
export const interpreterRuntime: ModelRuntime = {
  async load(bytes) {
    const { createPredictor, unpackBundle } = await import('../model/index.js');
    const bundle = unpackBundle(bytes);
    const { signal, classes, arenaBytes } = bundle.info;
    return {
      fields: signal.fields,
      rateHz: isTimeless(signal) ? null : signal.rateHz,
      ...{ classes, arenaBytes },
      ...(signal.image && { size: { width: signal.image.width, height: signal.image.height } }),
      createPredictor: () => createPredictor(bundle),
    };
  },
  async checkGolden(bytes) {
    const { checkGolden, unpackBundle } = await import('../model/index.js');
    return checkGolden(unpackBundle(bytes));
  },
};
