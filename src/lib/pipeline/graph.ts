import * as z from 'zod';
import { chosenContext } from '../core/contexts.js';
import { writeFileAtomic } from '../core/files.js';
import { loadProject } from '../core/project.js';
import { xmlText } from '../core/text.js';
import { type GraphNode, graphOf, stepLabel } from './graph-model.js';
import { planPipeline } from './plan/plan.js';
import { findRun, pipelineFolders, stepStates } from './run/record.js';

export const graphSchema = z.object({
  project: z.string(),
  /** The run that the states are from; null before the first run. */
  run: z.string().nullable(),
  steps: z.array(
    z.object({
      name: z.string(),
      about: z.string(),
      needs: z.array(z.string()),
      gate: z.string().nullable(),
      state: z.enum(stepStates).nullable(),
      cached: z.boolean(),
    }),
  ),
  /** The image file that was written. */
  file: z.string().nullable(),
  text: z.string(),
});

export type PipelineGraph = z.output<typeof graphSchema>;

/** The graph of a project's steps with the states of its last run. @throws AIOT_PROJECT_INVALID, AIOT_FILE_NOT_WRITABLE */
export async function pipelineGraph(options: { dir: string; out?: string }): Promise<PipelineGraph> {
  const project = await loadProject(options.dir);
  const context = await chosenContext();
  const plan = await planPipeline(project, { kind: context?.kind ?? null });
  const run = await findRun(pipelineFolders(project.dir)).catch(() => null);
  const nodes = graphOf(plan, run);
  if (options.out !== undefined)
    await writeFileAtomic(options.out, graphSvg(`Pipeline of ${plan.project}`, nodes));
  return {
    project: plan.project,
    run: run?.run ?? null,
    steps: nodes.map(({ name, about, needs, gate, last }) => ({
      ...{ name, about, needs, gate },
      state: last?.state ?? null,
      cached: last?.cached ?? false,
    })),
    file: options.out ?? null,
    text: graphText(nodes),
  };
}

/**
 * The graph as text. Each step is below its dependencies and indented by its column. A step's dependencies are listed, unless its only
 * dependency is on the line above.
 */
function graphText(nodes: readonly GraphNode[]): string {
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

const box = { width: 172, height: 58 };
const gap = { x: 52, y: 26 };
const edge = 24;
const titleHeight = 40;

/** Fill and stroke of a state. */
const colours: Record<string, [fill: string, line: string]> = {
  done: ['#e6f4ea', '#1e7e34'],
  cached: ['#eef1f4', '#6b7682'],
  skipped: ['#f7f7f7', '#a0a8b0'],
  failed: ['#fdecea', '#c62828'],
  stopped: ['#fff4e0', '#c77700'],
  running: ['#e5f0fd', '#1565c0'],
  interrupted: ['#fff4e0', '#c77700'],
  cancelled: ['#fff4e0', '#c77700'],
  'not-run': ['#ffffff', '#b0b8c0'],
  waiting: ['#ffffff', '#6b7682'],
};

/** The graph as an image: columns from left to right, an arrow for each dependency. */
export function graphSvg(title: string, nodes: readonly GraphNode[]): string {
  const columns = 1 + Math.max(0, ...nodes.map(({ column }) => column));
  const inColumn = (column: number) => nodes.filter((node) => node.column === column).length;
  const rows = Math.max(1, ...Array.from({ length: columns }, (_, i) => inColumn(i)));
  const width = 2 * edge + columns * box.width + (columns - 1) * gap.x;
  const height = 2 * edge + titleHeight + rows * box.height + (rows - 1) * gap.y;
  const place = ({ column, row }: GraphNode) => {
    const free = rows - inColumn(column);
    return {
      x: edge + column * (box.width + gap.x),
      y: edge + titleHeight + (row + free / 2) * (box.height + gap.y),
    };
  };
  const by = new Map(nodes.map((node) => [node.name, node]));
  const arrows = nodes.flatMap((node) =>
    node.needs.flatMap((need) => {
      const from = by.get(need);
      return from ? [arrow(place(from), place(node))] : [];
    }),
  );
  const boxes = nodes.map((node) => boxOf(node, place(node)));
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif">
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" fill="#6b7682"/></marker></defs>
<rect width="${width}" height="${height}" fill="#ffffff"/>
<text x="${edge}" y="${edge + 16}" font-size="16" font-weight="600" fill="#20262c">${xmlText(title)}</text>
${[...arrows, ...boxes].join('\n')}
</svg>
`;
}

interface Point {
  x: number;
  y: number;
}

function arrow(from: Point, to: Point): string {
  const [x1, y1] = [from.x + box.width, from.y + box.height / 2];
  const [x2, y2] = [to.x - 2, to.y + box.height / 2];
  const bend = Math.max(20, (x2 - x1) / 2);
  const path = `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
  return `<path d="${path}" fill="none" stroke="#6b7682" stroke-width="1.5" marker-end="url(#tip)"/>`;
}

function boxOf(node: GraphNode, { x, y }: Point): string {
  const { last } = node;
  const [fill, line] = colours[stateOf(node)] ?? colours.waiting!;
  const dashed = node.when ? ' stroke-dasharray="5 4"' : '';
  const tell = last?.reason ?? node.about;
  const gate = node.gate === null ? '' : gateMark(x, y, node.gate);
  return `<g><title>${xmlText(tell)}</title>
<rect x="${x}" y="${y}" width="${box.width}" height="${box.height}" rx="8" fill="${fill}" stroke="${line}" stroke-width="1.5"${dashed}/>
<text x="${x + 14}" y="${y + 25}" font-size="14" font-weight="600" fill="#20262c">${xmlText(short(node.name, 19))}</text>
<text x="${x + 14}" y="${y + 44}" font-size="12" fill="${line}">${xmlText(short(stateText(node), 24))}</text>${gate}</g>`;
}

/** A diamond in the corner, which marks a gate. */
function gateMark(x: number, y: number, gate: string): string {
  const [cx, cy] = [x + box.width - 16, y + 17];
  const path = `M${cx} ${cy - 7}L${cx + 7} ${cy}L${cx} ${cy + 7}L${cx - 7} ${cy}z`;
  return `<path d="${path}" fill="#ffffff" stroke="#c77700" stroke-width="1.5"><title>gate: ${xmlText(gate)}</title></path>`;
}

function stateOf({ last }: GraphNode): string {
  return last === null ? 'waiting' : last.state === 'done' && last.cached ? 'cached' : last.state;
}

/** A step's state in the last run, in a few words. */
function stateText({ last }: Pick<GraphNode, 'last'>): string {
  if (last === null) return 'not run yet';
  const label = stepLabel(last);
  return label === 'done' ? `done, ${last.seconds.toFixed(1)} s` : label;
}

function short(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}
