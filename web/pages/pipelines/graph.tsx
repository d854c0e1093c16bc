import type { ToldStep } from '../../../src/lib/api/index.js';
import { type GraphNode, graphOf, stepLabel } from '../../../src/lib/pipeline/graph-model.js';
import { lasting } from '../../app/text.js';
import { Scroll } from '../../parts/scroll.js';
import { toneOf } from './states.js';

const box = { width: 120, height: 50 };
const gap = { x: 22, y: 18 };

type Node = GraphNode<string>;

/** The steps from left to right, with an arrow for each dependency. Each step is a link to its details. */
export function Graph({
  steps,
  chosen,
  to,
}: {
  steps: readonly ToldStep[];
  chosen: string | undefined;
  to: (step: string) => string;
}) {
  const plan = steps.map(({ name, about, needs, gate, conditional }) => ({
    ...{ name, about, needs, gate },
    when: conditional ? [null] : [],
  }));
  const nodes = graphOf({ steps: plan }, { steps });
  const columns = 1 + Math.max(0, ...nodes.map(({ column }) => column));
  const rowsOf = (column: number) => nodes.filter((node) => node.column === column).length;
  const rows = Math.max(1, ...Array.from({ length: columns }, (_, i) => rowsOf(i)));
  const place = ({ column, row }: Node) => ({
    x: 2 + column * (box.width + gap.x),
    y: 2 + (row + (rows - rowsOf(column)) / 2) * (box.height + gap.y),
  });
  const by = new Map(nodes.map((node) => [node.name, node]));
  const width = 4 + columns * box.width + (columns - 1) * gap.x;
  const height = 4 + rows * box.height + (rows - 1) * gap.y;
  return (
    <Scroll label="Steps of the run">
      <svg class="graph" width={width} height={height} viewBox={`0 0 ${width} ${height}`}>
        <title>Steps and their dependencies</title>
        {nodes.flatMap((node) =>
          node.needs.map((need) => {
            const from = by.get(need);
            return (
              from && <path key={`${need} ${node.name}`} class="arrow" d={arrow(place(from), place(node))} />
            );
          }),
        )}
        {nodes.map((node) => (
          <Box
            key={node.name}
            node={node}
            at={place(node)}
            chosen={node.name === chosen}
            to={to(node.name)}
          />
        ))}
      </svg>
    </Scroll>
  );
}

interface Point {
  x: number;
  y: number;
}

function arrow(from: Point, to: Point): string {
  const [x1, y1] = [from.x + box.width, from.y + box.height / 2];
  const [x2, y2] = [to.x, to.y + box.height / 2];
  const bend = Math.max(11, (x2 - x1) / 2);
  return `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
}

function Box({ node, at, chosen, to }: { node: Node; at: Point; chosen: boolean; to: string }) {
  const { name, about, last, gate, when } = node;
  const state = last?.state ?? 'waiting';
  const tone = last?.cached ? 'soft' : toneOf(state);
  const label = stepLabel({ state, cached: last?.cached ?? false });
  const words = label === 'done' ? lasting((last?.seconds ?? 0) * 1000) : label;
  return (
    <a href={to} class={`step ${tone}`} aria-current={chosen ? 'true' : undefined}>
      <rect x={at.x} y={at.y} width={box.width} height={box.height} rx="7" class={when ? 'when' : undefined}>
        <title>{last?.reason ?? about}</title>
      </rect>
      <text class="name" x={at.x + 12} y={at.y + 21}>
        {name.slice(0, 14)}
      </text>
      <text class="words" x={at.x + 12} y={at.y + 39}>
        {words}
      </text>
      {gate !== null && <path class="gate" d={`M${at.x + box.width - 14} ${at.y + 8}l6 6l-6 6l-6 -6z`} />}
    </a>
  );
}
