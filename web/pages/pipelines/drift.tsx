import { Badge } from '../../parts/badge.js';
import { Section } from '../../parts/page.js';
import { Scroll } from '../../parts/scroll.js';
import { type Column, ShortTable } from '../../parts/table.js';

interface Histogram {
  from: number;
  to: number;
  base: number[];
  now: number[];
}

interface Feature {
  name: string;
  psi: number;
  js: number;
  ks: number;
  drifted: boolean;
  histogram?: Histogram | null;
}

/** Returns the features in a result of `aiot data drift --json`; null if the result has another form. */
export function driftOf(result: unknown): Feature[] | null {
  const features = (result as { features?: unknown } | null | undefined)?.features;
  if (!Array.isArray(features)) return null;
  const fits = features.every(
    (one: Partial<Feature> | null) =>
      typeof one?.name === 'string' && typeof one.psi === 'number' && typeof one.drifted === 'boolean',
  );
  return fits ? (features as Feature[]) : null;
}

const columns: Column<Feature>[] = [
  { title: 'feature', cell: ({ name }) => name, sort: ({ name }) => name },
  {
    title: 'verdict',
    cell: ({ drifted }) =>
      drifted ? <Badge tone="warn">drifted</Badge> : <Badge tone="soft">unchanged</Badge>,
    sort: ({ drifted }) => (drifted ? 'drifted' : 'unchanged'),
  },
  { title: 'PSI', cell: ({ psi }) => psi.toFixed(3), sort: ({ psi }) => psi, number: true },
  { title: 'JS', cell: ({ js }) => js.toFixed(3), sort: ({ js }) => js, number: true },
  { title: 'KS', cell: ({ ks }) => ks.toFixed(3), sort: ({ ks }) => ks, number: true },
  {
    title: 'distribution',
    cell: ({ histogram }) => histogram && <Over of={histogram} />,
    sort: ({ histogram }) => (histogram ? histogram.from : null),
  },
];

/** The drift of each feature, with its two distributions overlaid. */
export function Drift({ drift }: { drift: readonly Feature[] }) {
  const drifted = drift.filter((one) => one.drifted).length;
  return (
    <Section title="Drift" note={drifted === 0 ? 'none' : `${drifted} of ${drift.length} features`}>
      <p class="keys">
        <span class="key base">reference</span> <span class="key now">current</span>
      </p>
      <Scroll label="Drift by feature">
        <ShortTable
          rows={drift}
          columns={columns}
          keyOf={({ name }) => name}
          label="Drift by feature"
          name="drift"
        />
      </Scroll>
    </Section>
  );
}

const [width, height] = [220, 36];

function Over({ of: { from, to, base, now } }: { of: Histogram }) {
  const most = Math.max(...base, ...now, Number.MIN_VALUE);
  const path = (counts: readonly number[]) => {
    const step = width / counts.length;
    const tops = counts.map(
      (count, i) => `H${i * step}V${height - (height - 2) * (count / most)}H${(i + 1) * step}`,
    );
    return `M0 ${height}${tops.join('')}V${height}z`;
  };
  return (
    <svg
      class="over"
      width={width}
      height={height}
      role="img"
      aria-label={`from ${from.toPrecision(3)} to ${to.toPrecision(3)}`}
    >
      <path class="base" d={path(base)} />
      <path class="now" d={path(now)} />
    </svg>
  );
}
