import type { RolloutDeviceState } from '../../../src/lib/api/index.js';
import { inShare, shares } from './states.js';

/** Number of devices by outcome, as a bar. The text next to it contains the same numbers. */
export function Bar({ counts, devices }: { counts: Record<RolloutDeviceState, number>; devices: number }) {
  const parts = shares.map((share) => ({ ...share, count: inShare(share, counts) }));
  const said = parts.filter(({ count }) => count > 0).map(({ title, count }) => `${count} ${title}`);
  return (
    <span class="bar" role="img" aria-label={`${said.join(', ')} of ${devices}`} title={said.join(', ')}>
      {parts
        .filter(({ count }) => count > 0)
        .map(({ title, tone, count }) => (
          <i key={title} class={tone} style={{ flexGrow: count }} />
        ))}
    </span>
  );
}

/** Explains the colors of the bars. */
export function Legend() {
  return (
    <ul class="legend" aria-label="Colours of the bars">
      {shares.map(({ title, tone }) => (
        <li key={title}>
          <i class={tone} /> {title}
        </li>
      ))}
    </ul>
  );
}
