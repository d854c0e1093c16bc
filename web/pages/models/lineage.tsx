import type { ModelVersion, Rollout } from '../../../src/lib/api/index.js';
import { stateWords } from '../../../src/lib/api/rollouts/words.js';
import { linkTo } from '../../app/route.js';
import { moment, plural, size, withZone } from '../../app/text.js';
import { Scroll } from '../../parts/scroll.js';

interface Node {
  title: string;
  lines: string[];
  to?: string;
  /** Text shown on hover, which is the exact time that `lines` abbreviates. */
  hint?: string;
  tone?: 'unknown' | 'here';
}

const [width, gap, lineHeight, pad] = [188, 46, 17, 12];
/** Maximum number of rollouts drawn; others are only counted. */
const most = 5;

/**
 * Origin and use of a version: dataset, training run, version, and rollouts. Parts that were not recorded are shown as unknown.
 */
export function Lineage({ card, rollouts }: { card: ModelVersion; rollouts: readonly Rollout[] }) {
  const columns = columnsOf(card, rollouts);
  const heightOf = ({ lines }: Node) => 2 * pad + 18 + lines.length * lineHeight;
  const tall = columns.map((nodes) => nodes.reduce((sum, node) => sum + heightOf(node) + 14, -14));
  const height = Math.max(...tall) + 2;
  const placed = columns.map((nodes, c) => {
    let y = (height - (tall[c] ?? 0)) / 2;
    return nodes.map((node) => {
      const at = { node, x: c * (width + gap) + 1, y, height: heightOf(node) };
      y += at.height + 14;
      return at;
    });
  });
  const whole = columns.length * (width + gap) - gap + 2;
  return (
    <Scroll label="Lineage">
      <svg class="lineage" width={whole} height={height} viewBox={`0 0 ${whole} ${height}`}>
        <title>From the dataset to the rollouts</title>
        {placed.slice(1).flatMap((nodes, c) =>
          (placed[c] ?? []).flatMap((from) =>
            nodes.map((to) => {
              const [x1, y1] = [from.x + width, from.y + from.height / 2];
              const [x2, y2] = [to.x, to.y + to.height / 2];
              const middle = (x1 + x2) / 2;
              return (
                <path
                  key={`${x1},${y1},${y2}`}
                  class="edge"
                  d={`M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`}
                />
              );
            }),
          ),
        )}
        {placed.flat().map(({ node, x, y, height: tallness }) => {
          const box = (
            <g class={`node ${node.tone ?? ''}`}>
              {node.hint !== undefined && <title>{node.hint}</title>}
              <rect x={x} y={y} width={width} height={tallness} rx={8} />
              <text x={x + pad} y={y + pad + 11} class="node-title">
                {clipped(node.title)}
              </text>
              {node.lines.map((line, i) => (
                <text key={line} x={x + pad} y={y + pad + 30 + i * lineHeight}>
                  {clipped(line)}
                </text>
              ))}
            </g>
          );
          return node.to ? (
            <a key={`${x},${y}`} href={node.to}>
              {box}
            </a>
          ) : (
            <g key={`${x},${y}`}>{box}</g>
          );
        })}
      </svg>
    </Scroll>
  );
}

function clipped(text: string): string {
  return text.length > 25 ? `${text.slice(0, 24)}…` : text;
}

function columnsOf(card: ModelVersion, rollouts: readonly Rollout[]): Node[][] {
  const { lineage, origin, name, version, mode, digest, bytes, stage } = card;
  const source: Node[] = lineage
    ? [
        {
          title: `dataset ${lineage.dataset.name}`,
          lines: [
            plural(lineage.dataset.recordings, 'recording'),
            plural(lineage.dataset.samples, 'sample'),
            shortDigest(lineage.dataset.digest),
          ],
        },
      ]
    : [{ title: 'dataset', lines: ['unknown'], tone: 'unknown' }];
  const training: Node[] = lineage
    ? [
        {
          title: 'training',
          lines: trainingLines(lineage),
          ...(typeof lineage.created === 'number' ? { hint: withZone(lineage.created) } : {}),
        },
      ]
    : [
        {
          title: origin ? `imported from ${origin.source}` : 'training',
          lines: [origin ? origin.file : 'unknown'],
          ...(origin ? {} : { tone: 'unknown' as const }),
        },
      ];
  const own: Node = {
    title: `${name}@${version}`,
    lines: [stage, `${mode}, ${size(bytes)}`, shortDigest(digest)],
    tone: 'here',
  };
  const went: Node[] = rollouts.slice(0, most).map(({ id, state, created }) => ({
    title: `rollout ${id}`,
    lines: [stateWords(state), moment(created)],
    hint: withZone(created),
    to: linkTo(['rollouts', id]),
  }));
  if (rollouts.length > most) went.push({ title: `${rollouts.length - most} more rollouts`, lines: [] });
  if (went.length === 0) went.push({ title: 'no rollouts yet', lines: [], tone: 'unknown' });
  return [source, training, [own], went];
}

function trainingLines(lineage: NonNullable<ModelVersion['lineage']>): string[] {
  // The API validates only the dataset, so the other members are shown only if they have the expected form.
  const { created, aiot, split } = lineage as {
    created?: unknown;
    aiot?: unknown;
    split?: Record<string, unknown>;
  };
  const count = (part: string) => (Array.isArray(split?.[part]) ? (split[part] as unknown[]).length : null);
  const parts = ['train', 'validation', 'test'].map(count);
  return [
    ...(typeof created === 'number' ? [moment(created)] : []),
    ...(parts.some((n) => n !== null) ? [`split ${parts.map((n) => n ?? '–').join(' / ')}`] : []),
    ...(typeof aiot === 'string' ? [`aiot ${aiot}`] : []),
  ];
}

function shortDigest(digest: string): string {
  return digest.slice(0, 19);
}
