import type { ServerResponse } from 'node:http';

const tasks = new WeakMap<ServerResponse, Set<() => void>>();

/**
 * Calls `task` once when the response is closed, whether it was sent whole or not. All tasks of a response share one listener:
 * Fastify and Node add up to seven of their own to an answer whose stream fails, and Node warns of a leak at eleven.
 */
export function whenClosed(response: ServerResponse, task: () => void): void {
  const known = tasks.get(response);
  if (known) {
    known.add(task);
    return;
  }
  const own = new Set([task]);
  tasks.set(response, own);
  response.once('close', () => {
    tasks.delete(response);
    for (const each of own) each();
  });
}
