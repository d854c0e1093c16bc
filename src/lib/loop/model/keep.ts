import { digestOf } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { unpackBundle } from '../../model/bundle/pack.js';
import type { LoadedModel, ModelKeeper, ModelState } from '../types.js';
import { type Contract, loadModel, titleOf } from './load.js';
import type { Settings } from './options.js';

/** Source of further versions. */
interface Renewal {
  check(): Promise<void>;
  /** ms until the next check; null = no checks. */
  pause: (() => number) | null;
  close(): Promise<void>;
}

/** A local file does not change until the loop ends. */
export const noRenewal: Renewal = {
  check: async () => {},
  pause: null,
  close: async () => {},
};

/** The loop's interface to the model in use. A background task looks for newer models until the interface is closed. */
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
      keep.close();
    },
  };
}

async function renew(renewal: Renewal, { clock }: Settings, signal: AbortSignal): Promise<void> {
  if (!renewal.pause) return;
  while (!signal.aborted) {
    // The sleep rejects only when the loop ends.
    await clock.sleep(renewal.pause(), signal).catch(() => {});
    if (!signal.aborted) await renewal.check();
  }
}

type Source = ModelState['source'];

/** A model and its source. */
interface Held {
  model: LoadedModel;
  source: Source;
}

/** Number of models retained in memory for rollback. Each takes a few kilobytes. */
const depth = 3;

/** Minimum interval between reports about a failing model that has no replacement, ms. */
const complaintMs = 60_000;

/** Tracks the model in use and its predecessors. Accesses neither files nor the network. */
export class Keep {
  private readonly held: Held[];
  private readonly taken = new Set<string>();
  private swaps = 0;
  private complainedAt = Number.NEGATIVE_INFINITY;
  lastError: string | null = null;

  /**
   * @param onRefused called with the digest of a rolled-back model, which is then remembered
   * @param refused digests that were rejected elsewhere
   */
  constructor(
    first: Held,
    private readonly settings: Pick<Settings, 'tell' | 'clock'>,
    private readonly onRefused: (model: LoadedModel, reason: string) => void,
    private readonly refused: () => readonly string[],
  ) {
    this.held = [first];
  }

  get now(): Held {
    return this.held[0]!;
  }

  /** Activates another model. Activating the current model again has no effect. */
  replace(next: Held): void {
    const { model } = this.now;
    if (model.digest === next.model.digest && model.version === next.model.version) return;
    this.held.unshift(next);
    // The loop still predicts with the current model until it has switched, and then releases it.
    for (const { model: dropped } of this.held.splice(depth)) dropped.release?.();
    this.swaps++;
    this.lastError = null;
    this.settings.tell('swapped', `${titleOf(next.model)} is now active, replacing ${titleOf(model)}`);
  }

  /** Rolls back to the newest previous model that was not itself rolled back. */
  misbehaved(model: LoadedModel, error: unknown): void {
    const reason = error instanceof AiotError ? `${error.code}: ${error.message}` : String(error);
    this.lastError = `${titleOf(model)}: ${reason}`;
    if (model.digest !== this.now.model.digest) return;
    const before = this.held.filter((held) => held.model.digest !== model.digest);
    const [back] = before;
    if (!back) {
      this.complain(model, reason);
      return;
    }
    model.release?.();
    this.taken.add(model.digest);
    this.held.splice(0, this.held.length, ...before);
    this.swaps++;
    this.onRefused(model, reason);
    this.settings.tell(
      'back',
      `${titleOf(back.model)} is active again: ${titleOf(model)} misbehaved (${reason})`,
    );
  }

  close(): void {
    for (const { model } of this.held) model.release?.();
  }

  state(): ModelState {
    const { model, source } = this.now;
    const { name, version, digest, delegate } = model;
    const refused = [...new Set([...this.taken, ...this.refused()])];
    return { name, version, digest, source, delegate, swaps: this.swaps, refused, lastError: this.lastError };
  }

  private complain(model: LoadedModel, reason: string): void {
    const now = this.settings.clock.now();
    if (now - this.complainedAt < complaintMs) return;
    this.complainedAt = now;
    this.settings.tell(
      'note',
      `${titleOf(model)} misbehaved (${reason}), and there is no earlier model to return to`,
    );
  }
}
