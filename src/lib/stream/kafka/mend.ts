import { setTimeout as delay } from 'node:timers/promises';
import type { KafkaCluster } from './cluster.js';

/** Between attempts while a broker is away, ms. */
const pauseMs = 250;

/** Metadata again after a pause, without the connections that failed; when even that cannot be had, the caller comes here again. */
export async function mend(
  cluster: KafkaCluster,
  errors: readonly unknown[],
  signal: AbortSignal,
): Promise<void> {
  await delay(pauseMs, undefined, { signal }).catch(() => {});
  if (signal.aborted) return;
  try {
    for (const error of errors) {
      const { host, port } = (error ?? {}) as { host?: string; port?: number };
      if (host !== undefined && port !== undefined) cluster.removeBroker({ host, port });
    }
    await cluster.connect();
    await cluster.refreshMetadata();
  } catch {
    // Still away.
  }
}
