import { Badge } from '../../parts/badge.js';
import { Section } from '../../parts/page.js';
import { Scroll } from '../../parts/scroll.js';

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

/** What `aiot data drift --json` found; null for another result. */
export function driftOf(result: unknown): Feature[] | null {
  const features = (result as { features?: unknown } | null | undefined)?.features;
  if (!Array.isArray(features)) return null;
  const fits = features.every(
    (one: Partial<Feature> | null) =>
      typeof one?.name === 'string' && typeof one.psi === 'number' && typeof one.drifted === 'boolean',
  );
  return fits ? (features as Feature[]) : null;
}

/** Each feature: how far its distribution moved, and both drawn over each other. */
export function Drift({ drift }: { drift: readonly Feature[] }) {
  const drifted = drift.filter((one) => one.drifted).length;
  return (
    <Section title="Drift" note={drifted === 0 ? 'none' : `${drifted} of ${drift.length} features`}>
      <p class="keys">
        <span class="key base">before</span> <span class="key now">now</span>
      </p>
      <Scroll label="Drift by feature">
        <table class="drift">
          <thead>
            <tr>
              <th scope="col">feature</th>
              <th scope="col">verdict</th>
              <th scope="col" class="number">
                PSI
              </th>
              <th scope="col" class="number">
                JS
              </th>
              <th scope="col" class="number">
                KS
              </th>
              <th scope="col">distribution</th>
            </tr>
          </thead>
          <tbody>
            {drift.map(({ name, psi, js, ks, drifted, histogram }) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td>{drifted ? <Badge tone="warn">drifted</Badge> : <Badge tone="soft">same</Badge>}</td>
                <td class="number">{psi.toFixed(3)}</td>
                <td class="number">{js.toFixed(3)}</td>
                <td class="number">{ks.toFixed(3)}</td>
                <td>{histogram ? <Over of={histogram} /> : null}</td>
              </tr>
            ))}
          </tbody>
        </table>
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
