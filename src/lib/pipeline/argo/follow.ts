import { AiotError, type Clock } from '../../core/index.js';
import { type ArgoClient, orNull } from './client.js';
import { isOver, type Workflow } from './workflow.js';

export interface FollowOptions {
  client: Pick<ArgoClient, 'workflow' | 'changes'>;
  name: string;
  clock: Clock;
  signal: AbortSignal;
  onChange(workflow: Workflow): void;
}

/** After a watch has ended, and, where the server does not answer, twice as long each time; ms. */
const againMs = { first: 1000, most: 30_000 };
/** How long a server may be away, ms: nodes of small clusters are started again. */
const awayMs = 600_000;

/**
 * Looks on at a workflow until it is over. A watch may end at any time without a word: it is begun anew, and what was missed meanwhile is
 * asked for first.
 * @returns null where it was deleted @throws AIOT_ARGO_*, and the signal's reason
 */
export async function follow(options: FollowOptions): Promise<Workflow | null> {
  const { client, name, clock, signal, onChange } = options;
  let since: number | null = null;
  for (let wait = againMs.first; ; ) {
    try {
      const now = await orNull(client.workflow(name, signal));
      if (now === null) return null;
      since = null;
      wait = againMs.first;
      onChange(now);
      if (isOver(now)) return now;
      for await (const next of client.changes(name, signal)) {
        if (next === null) return null;
        onChange(next);
        if (isOver(next)) return next;
      }
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof AiotError) || !error.retryable) throw error;
      since ??= clock.now();
      if (clock.now() - since > awayMs) throw error;
    }
    await clock.sleep(wait, signal);
    wait = Math.min(againMs.most, wait * 2);
  }
}
