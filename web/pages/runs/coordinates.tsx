import { useSignal } from '@preact/signals';
import type { PublishedRun } from '../../../src/lib/api/index.js';
import type { Axis } from '../../../src/lib/model/runs/axes.js';
import { networkOf } from '../../../src/lib/model/runs/metrics.js';
import { goTo } from '../../app/route.js';
import { Scroll } from '../../parts/scroll.js';
import { shortRun } from './run.js';

const height = 290;
const margin = { side: 64, top: 36, bottom: 16 };
const distance = 118;
/** Maximum length of text on an axis, in characters. */
const longest = 17;

/** Parallel coordinates: an axis for each setting and metric, and a line for each run. Clicking a line opens its run. */
export function Coordinates({
  axes,
  runs,
  best,
  to,
}: {
  axes: readonly Axis[];
  runs: readonly PublishedRun[];
  /** ID of the run that is highlighted. */
  best: string | undefined;
  to: (run: PublishedRun) => string;
}) {
  const pointed = useSignal<PublishedRun | null>(null);
  const width = 2 * margin.side + (axes.length - 1) * distance;
  const x = (axis: number) => margin.side + axis * distance;
  const y = (place: number) => margin.top + (1 - place) * (height - margin.top - margin.bottom);
  const lines = runs
    .map((run, r) => ({
      run,
      points: axes.flatMap(({ places }, a) => {
        const place = places[r] ?? null;
        return place === null ? [] : [`${x(a)},${y(place).toFixed(1)}`];
      }),
    }))
    .sort((a, b) => Number(a.run.run === best) - Number(b.run.run === best));
  const names = axes.map(({ name }) => name).join(', ');
  return (
    <>
      <Scroll label="Settings and metrics">
        <svg
          class="coordinates"
          style={{ minWidth: `${width}px`, maxWidth: `${Math.round(width * 1.35)}px` }}
          viewBox={`0 0 ${width} ${height}`}
          role="img"
          aria-label={`${runs.length} runs by ${names}. The table lists each run.`}
          onMouseLeave={() => {
            pointed.value = null;
          }}
        >
          {lines.map(({ run, points }) => (
            // biome-ignore lint/a11y/noStaticElementInteractions: the table below has a link to each run
            <g
              key={run.run}
              class={run.run === best ? 'run best' : 'run'}
              onMouseEnter={() => {
                pointed.value = run;
              }}
              onClick={() => goTo(to(run))}
            >
              <polyline class="hit" points={points.join(' ')} />
              <polyline points={points.join(' ')} />
            </g>
          ))}
          {axes.map(({ name, ticks }, a) => (
            <g key={name}>
              <line class="axis" x1={x(a)} x2={x(a)} y1={y(1)} y2={y(0)} />
              <text class="name" text-anchor="middle" x={x(a)} y="16">
                {shortened(name)}
                <title>{name}</title>
              </text>
              {ticks.map(({ at, text }) => (
                <text key={text} class="tick" text-anchor="end" x={x(a) - 6} y={y(at) + 4}>
                  {shortened(text)}
                </text>
              ))}
            </g>
          ))}
        </svg>
      </Scroll>
      <p class="soft coordinates-pointed">
        {pointed.value ? (
          `${shortRun(pointed.value.run)}: ${networkOf(pointed.value)}`
        ) : (
          <span class="coordinates-key">best run</span>
        )}
      </p>
    </>
  );
}

function shortened(text: string): string {
  return text.length > longest ? `${text.slice(0, longest - 1)}…` : text;
}
