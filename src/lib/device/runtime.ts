import { AiotError } from '../core/errors.js';
import { thousands } from '../core/figures.js';
import type { DeviceNeed } from '../model/bundle/device-memory.js';
import type { Predictor } from '../model/bundle/predictor.js';
import { isTimeless } from '../signal/spec.js';

export interface LoadedModel {
  /** Fields of one sample, in order. */
  fields: string[];
  /** Input sample rate, Hz; null = the model predicts on each sample individually, at any rate. */
  rateHz: number | null;
  /** Size of the pictures, pixels; absent = the windows are not pictures. */
  size?: { width: number; height: number };
  classes: string[];
  /** Memory for the model's tensors, bytes. */
  arenaBytes: number;
  /** Minimum memory that the model needs on a 32-bit chip, bytes; absent = unknown. */
  need?: DeviceNeed;
  createPredictor(): Pick<Predictor, 'push' | 'reset'>;
}

/** A device's operations on bundles, as an interface that tests can replace. */
export interface ModelRuntime {
  /** @throws AIOT_BUNDLE_MALFORMED */
  load(bundle: Uint8Array): Promise<LoadedModel>;
  /** Runs the bundle's golden vectors. @throws AIOT_BUNDLE_MALFORMED */
  checkGolden(bundle: Uint8Array): Promise<{ vectors: number; passed: number }>;
}

/** A runtime that rejects models that need more memory than a board has, as the board's firmware does. @param bytes memory for models */
export function limitedRuntime(runtime: ModelRuntime, bytes: number, free: () => number): ModelRuntime {
  const require = async (bundle: Uint8Array, of: 'active' | 'trial', room: number) => {
    const loaded = await runtime.load(bundle);
    const need = loaded.need?.[of] ?? 0;
    if (need <= room) return loaded;
    throw new AiotError(
      'AIOT_MEMORY_SHORT',
      `the model needs at least ${thousands(need)} bytes${of === 'trial' ? ' for its trial' : ''}, but the device has only ${thousands(room)}`,
    );
  };
  return {
    load: (bundle) => require(bundle, 'active', bytes),
    async checkGolden(bundle) {
      await require(bundle, 'active', bytes);
      await require(bundle, 'trial', free());
      return runtime.checkGolden(bundle);
    },
  };
}

/** Modules that a device loads only at its first update. */
export const laterParts = [() => import('../model/index.js'), () => import('undici')];

/** The interpreter of the model module: bit-exact with the chip. */
export const interpreterRuntime: ModelRuntime = {
  async load(bytes) {
    const { createPredictor, deviceNeed, unpackBundle } = await import('../model/index.js');
    const bundle = unpackBundle(bytes);
    const { signal, classes, arenaBytes } = bundle.info;
    return {
      fields: signal.fields,
      rateHz: isTimeless(signal) ? null : signal.rateHz,
      ...{ classes, arenaBytes },
      ...(signal.image && { size: { width: signal.image.width, height: signal.image.height } }),
      need: deviceNeed(bundle),
      createPredictor: () => createPredictor(bundle),
    };
  },
  async checkGolden(bytes) {
    const { checkGolden, unpackBundle } = await import('../model/index.js');
    return checkGolden(unpackBundle(bytes));
  },
};
