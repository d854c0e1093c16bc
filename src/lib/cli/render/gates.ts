import { size } from '../../core/index.js';
import type { Gate } from '../../model/index.js';
import { green, red } from './style.js';

/** Figures of which less is better. Told again here, because rendering must not load the room of models at every start. */
const atMost: readonly Gate['name'][] = ['mae', 'rmse', 'calibrationError', 'drop', 'arena', 'bytes'];

/** One line a gate: whether it is kept, what was measured, what the limit is. */
export function gateFacts(gates: readonly Gate[]): [string, string][] {
  return gates.map(({ name, limit, got, passed }) => {
    const inBytes = name === 'arena' || name === 'bytes';
    const show = (value: number) => (inBytes ? size(value) : value.toFixed(4));
    const most = atMost.includes(name) ? 'at most' : 'at least';
    const mark = passed ? green('✓') : red('✗');
    return [
      `Gate ${name}`,
      `${mark} ${got === null ? 'not measured' : show(got)}, ${most} ${inBytes ? size(limit) : limit}`,
    ];
  });
}
