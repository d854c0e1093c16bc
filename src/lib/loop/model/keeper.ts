import { digestOf } from '../../core/index.js';
import { unpackBundle } from '../../model/index.js';
import type { ModelKeeper } from '../model-types.js';
import type { Contract } from './contract.js';
import type { Keep } from './keep.js';
import { loadModel } from './load.js';
import type { Settings } from './options.js';

/** Where other versions may come from. */
export interface Renewal {
  check(): Promise<void>;
  /** ms until the next check; null = there is nothing to look for. */
  pause: (() => number) | null;
  close(): Promise<void>;
}

/** A file of this machine is the same until the loop ends. */
export const noRenewal: Renewal = {
  check: async () => {},
  pause: null,
  close: async () => {},
};

/** What the loop holds: the model in use, and the renewal that goes on beside it until it is closed. */
export function keeperOf(keep: Keep, settings: Settings, contract: Contract, renewal: Renewal): ModelKeeper {
  const ending = new AbortController();
  const signal = settings.signal ? AbortSignal.any([settings.signal, ending.signal]) : ending.signal;
  const renewing = renew(renewal, settings, signal);
  return {
    current: () => keep.now.model,
    misbehaved: (model, error) => keep.misbehaved(model, error),
    async use(bytes) {
      const model = await loadModel(
        unpackBundle(bytes),
        { version: null, digest: digestOf(bytes) },
        { contract, settings },
      );
      keep.replace({ model, source: 'trained' });
      return model;
    },
    check: () => renewal.check(),
    state: () => keep.state(),
    async close() {
      ending.abort();
      await renewal.close();
      await renewing;
    },
  };
}

async function renew(renewal: Renewal, { clock }: Settings, signal: AbortSignal): Promise<void> {
  if (!renewal.pause) return;
  while (!signal.aborted) {
    // Rejects when the loop ends, and for nothing else.
    await clock.sleep(renewal.pause(), signal).catch(() => {});
    if (!signal.aborted) await renewal.check();
  }
}
