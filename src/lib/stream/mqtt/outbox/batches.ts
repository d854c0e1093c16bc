import { AiotError } from '../../../core/index.js';
import type { Batch, Item } from './types.js';

/** Longest time without any acknowledgement while one is waited for, ms. */
const stallMs = 30_000;

/** The writes that are waited for. */
export interface Batches {
  /** @returns the batch, and a promise of its end */
  open(messages: number): { batch: Batch; done: Promise<void> };
  /** One of its messages is where it should be. */
  arrived(item: Item): void;
  fail(batch: Batch, error: unknown): void;
  failAll(error: unknown): void;
  /** Resolves when nothing is waited for any more. */
  idle(): Promise<void>;
}

/**
 * When nothing at all arrives for too long, all that wait fail with AIOT_BROKER_UNREACHABLE (retryable).
 * @param onFailed the batch's messages need not be sent any more
 */
export function createBatches(endpoint: string, onFailed: (batch: Batch) => void): Batches {
  const batches = new Set<Batch>();
  const whenIdle: (() => void)[] = [];
  let progress = 0;
  let watch: NodeJS.Timeout | undefined;

  const over = (batch: Batch): boolean => {
    if (!batches.delete(batch)) return false;
    if (batches.size === 0) {
      clearInterval(watch);
      for (const resolve of whenIdle.splice(0)) resolve();
    }
    return true;
  };
  const fail = (batch: Batch, error: unknown) => {
    if (!over(batch)) return;
    batch.reject(error);
    onFailed(batch);
  };
  const failAll = (error: unknown) => {
    for (const batch of [...batches]) fail(batch, error);
  };
  const lookForStall = () => {
    if (performance.now() - progress < stallMs) return;
    const message = `${endpoint}: no acknowledgement within ${stallMs / 1000} s`;
    failAll(new AiotError('AIOT_BROKER_UNREACHABLE', message, { endpoint, retryable: true }));
  };

  return {
    open(messages) {
      if (batches.size === 0) {
        progress = performance.now();
        watch = setInterval(lookForStall, 1000);
      }
      const { promise: done, resolve, reject } = withResolvers();
      const batch: Batch = { left: messages, resolve, reject };
      batches.add(batch);
      return { batch, done };
    },
    arrived({ batch }) {
      progress = performance.now();
      if (batch && --batch.left === 0 && over(batch)) batch.resolve();
    },
    fail,
    failAll,
    idle: () => (batches.size === 0 ? Promise.resolve() : new Promise((resolve) => whenIdle.push(resolve))),
  };
}

/** As Promise.withResolvers, which Node 20 has not. */
function withResolvers() {
  let resolve = () => {};
  let reject: (error: unknown) => void = () => {};
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
