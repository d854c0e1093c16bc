import type { Rollout } from '../../registry/index.js';
import { bold } from './style.js';
import { table } from './text.js';

/** A rollout, a row a device. */
export function rolloutText({ id, devices }: Rollout): string {
  const rows = devices.map(({ name, state, step, error }) => [name, state, step, error?.code ?? null]);
  return `${bold(id)}\n${table(['device', 'state', 'step', 'error'], rows)}`;
}
