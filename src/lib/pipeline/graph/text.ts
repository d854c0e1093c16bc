import type { GraphNode } from './model.js';
import { stateText } from './svg.js';

/**
 * The graph as lines: each step below those that it waits for, set in by its column, with the names of those that are not the one right
 * above it.
 */
export function graphText(nodes: readonly GraphNode[]): string {
  const lines = nodes.map((node, i) => {
    const lead = node.column === 0 ? '' : `${'   '.repeat(node.column - 1)}└─ `;
    const above = nodes[i - 1]?.name;
    const after = node.needs.length === 1 && node.needs[0] === above ? '' : node.needs.join(', ');
    return { left: `${lead}${node.name}`, state: stateText(node), after, gate: node.gate };
  });
  const wide = Math.max(...lines.map(({ left }) => left.length));
  const states = Math.max(...lines.map(({ state }) => state.length));
  return lines
    .map(({ left, state, after, gate }) => {
      const notes = [after === '' ? '' : `after ${after}`, gate === null ? '' : `gate: ${gate}`];
      return `${left.padEnd(wide)}  ${state.padEnd(states)}  ${notes.filter(Boolean).join('; ')}`.trimEnd();
    })
    .join('\n');
}
