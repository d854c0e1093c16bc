import { type Signal, useSignal } from '@preact/signals';
import { useEffect, useId, useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import { fileName } from '../app/csv.js';
import { saveFile } from '../app/save.js';
import { plotCsv } from './plot-csv.js';
import { type Extent, extentOf, gesturesOn, keyView, type Movable } from './plot-gestures.js';
import { plotPicture } from './plot-picture.js';
import { plotSvg } from './plot-svg.js';

export type { Extent } from './plot-gestures.js';

export interface PlotProps extends Movable {
  /** x in seconds, ascending, followed by y of each series; null is a gap. */
  data: uPlot.AlignedData;
  /** Lines with the same `axis` share an axis with this name. By default, all lines share one without a name. */
  series: readonly { label: string; axis?: string }[];
  /** Description for screen readers; statistics of each series are added. */
  label: string;
  /** Whether the series are stacked bars, each as wide as the distance between two x. Each x is the beginning of a bar. */
  stacked?: boolean;
  /** The lowest value of the axes; absent = near the lowest value of the data. */
  least?: number;
  /** Height of plot and axes, px. */
  height?: number;
  /** Named spans of x that are drawn behind the lines. */
  bands?: readonly Band[];
  /** Whether x is a time of day (s since 1970) or counts from a start (s). */
  clock?: boolean;
  /** Time of the play head, s; null = not shown. Its changes do not draw the plot anew. */
  head?: Signal<number | null>;
  /** Whether the plot zooms by itself, for a page that does not hold the view. A plot that follows the newest values must not. */
  zoomable?: boolean;
}

/**
 * Lines over time, as wide as the container and in the page's colors. The legend can hide series, and shows the values at the
 * pointer.
 */
export function Plot(given: PlotProps) {
  const zoom = useSignal<Extent | null>(null);
  const props: PlotProps = given.zoomable
    ? {
        ...given,
        view: zoom.value ?? undefined,
        onView: (next) => {
          zoom.value = next;
        },
      }
    : given;
  const { data, series, label, height = 260, bands, clock = false, view, stacked = false, least } = props;
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const newest = useRef(props);
  newest.current = props;
  const pointed = useSignal<number | null>(null);
  const hidden = useSignal<ReadonlySet<string>>(new Set());
  const summary = useId();
  const names = series.map(({ label: own, axis = '' }) => `${own}\t${axis}`).join('\n');
  const drawn = useMemo(
    () => (stacked ? stackedData(data, (i) => !hidden.value.has(series[i]?.label ?? '')) : data),
    [data, stacked, hidden.value, names],
  );

  useLayoutEffect(() => {
    const box = place.current;
    if (!box) return;
    const own = new uPlot(
      options({ series, clock, stacked, least, width: box.clientWidth, height }, newest, (index) => {
        pointed.value = index;
      }),
      drawn,
      box,
    );
    plot.current = own;
    const endGestures = gesturesOn(own, () => newest.current);
    const resized = new ResizeObserver(() => own.setSize({ width: box.clientWidth, height }));
    resized.observe(box);
    const dark = matchMedia('(prefers-color-scheme: dark)');
    const recolour = () => own.redraw();
    dark.addEventListener('change', recolour);
    return () => {
      endGestures();
      resized.disconnect();
      dark.removeEventListener('change', recolour);
      own.destroy();
      plot.current = null;
    };
  }, [names, height, clock, stacked, least]);
  useLayoutEffect(() => {
    const own = plot.current;
    if (!own) return;
    own.batch(() => {
      own.setData(drawn, false);
      const [min, max] = view ?? extentOf(data);
      own.setScale('x', { min, max });
    });
  }, [drawn, view?.[0], view?.[1], names, height, clock, stacked, least]);
  useEffect(() => plot.current?.redraw(false), [bands]);
  useEffect(() => {
    const own = plot.current;
    if (!own || !given.head) return;
    const line = document.createElement('i');
    line.className = 'play-head';
    own.over.append(line);
    const end = given.head.subscribe((at) => {
      const { min = 0, max = 0 } = own.scales.x ?? {};
      const share = at === null ? -1 : (at - Number(min)) / (Number(max) - Number(min));
      line.hidden = !(share >= 0 && share <= 1);
      line.style.left = `${share * 100}%`;
    });
    return () => {
      end();
      line.remove();
    };
  }, [given.head, drawn, view?.[0], view?.[1], names, height, clock, stacked, least]);
  useEffect(() => {
    for (const [i, one] of series.entries())
      plot.current?.setSeries(i + 1, { show: !hidden.value.has(one.label) });
  }, [hidden.value, names, stacked, least]);

  const toggle = (name: string) => {
    const next = new Set(hidden.value);
    if (!next.delete(name)) next.add(name);
    hidden.value = next;
  };
  const savePicture = async () => {
    const own = plot.current;
    if (!own) return;
    const lines = series.flatMap((one, i) =>
      hidden.value.has(one.label) ? [] : [{ label: one.label, color: colour(`--series-${i % colours}`) }],
    );
    const picture = await plotPicture(own, lines, colour);
    if (picture) saveFile(`${fileName(label)}.png`, picture);
  };
  const saveSvg = () => {
    const shown = newest.current;
    const names = bandNames(shown.bands ?? []);
    const svg = plotSvg({
      xs: shown.data[0],
      lines: shown.series.flatMap((one, i) => {
        if (hidden.value.has(one.label)) return [];
        return [{ ...one, color: colour(`--series-${i % colours}`), values: shown.data[i + 1] ?? [] }];
      }),
      view: shown.view ?? extentOf(shown.data),
      bands: (shown.bands ?? []).map((band) => ({ ...band, color: bandColour(names, band) })),
      ...{ stacked, least },
      ...{ clock, width: Math.max(300, place.current?.clientWidth ?? 0), height },
      colors: {
        background: colour('--card'),
        ink: colour('--ink'),
        soft: colour('--soft'),
        rule: colour('--rule'),
      },
    });
    saveFile(`${fileName(label)}.svg`, new Blob([svg], { type: 'image/svg+xml' }));
  };
  const press = (event: KeyboardEvent) => {
    const { onView } = newest.current;
    const next = onView && keyView(event.key, newest.current.view ?? extentOf(data));
    if (next === undefined) return;
    event.preventDefault();
    onView?.(next);
  };
  return (
    <figure class="plot">
      <div
        ref={place}
        class="plot-place"
        style={{ height: `${height}px` }}
        // Keys move and zoom the plot, so a screen reader must pass them on.
        role="application"
        aria-roledescription="plot"
        aria-label={label}
        aria-describedby={summary}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: keys move and zoom it
        tabIndex={0}
        onKeyDown={press}
      />
      <figcaption>
        <p id={summary} class="unseen">
          {summaryOf(props)}
        </p>
        <ul class="legend">
          {series.map((one, i) => (
            <li key={one.label}>
              <button
                type="button"
                class="quiet"
                aria-pressed={!hidden.value.has(one.label)}
                onClick={() => toggle(one.label)}
              >
                <i class={`line series-${i % colours}`} aria-hidden="true" />
                {one.label}
              </button>
              <output>{pointed.value === null ? '' : written(data[i + 1]?.[pointed.value])}</output>
            </li>
          ))}
        </ul>
        <p class="plot-files">
          <button
            type="button"
            class="quiet"
            aria-label={`Save ${label} as CSV`}
            onClick={() => {
              const { series: lines, ...rest } = newest.current;
              const visible = lines.map((one) => !hidden.value.has(one.label));
              const [xs, ...columns] = rest.data;
              const data = [xs, ...columns.filter((_, i) => visible[i])] as uPlot.AlignedData;
              const csv = plotCsv({ ...rest, data, series: lines.filter((_, i) => visible[i]) });
              saveFile(`${fileName(label)}.csv`, new Blob([csv], { type: 'text/csv' }));
            }}
          >
            CSV
          </button>
          <button
            type="button"
            class="quiet"
            aria-label={`Save ${label} as PNG`}
            onClick={() => void savePicture()}
          >
            PNG
          </button>
          <button type="button" class="quiet" aria-label={`Save ${label} as SVG`} onClick={saveSvg}>
            SVG
          </button>
        </p>
      </figcaption>
    </figure>
  );
}

/** Number of colors in plot.css: --series-0 and following. */
const colours = 8;

function options(
  {
    series,
    clock,
    stacked,
    least,
    width,
    height,
  }: {
    series: PlotProps['series'];
    clock: boolean;
    stacked: boolean;
    least: number | undefined;
    width: number;
    height: number;
  },
  newest: { current: PlotProps },
  point: (index: number | null) => void,
): uPlot.Options {
  const axis = {
    stroke: () => colour('--soft'),
    grid: { stroke: () => colour('--rule'), width: 1 },
    ticks: { stroke: () => colour('--rule'), width: 1 },
    font: '12px system-ui, sans-serif',
  };
  const scales = [...new Set(series.map(scaleOf))];
  return {
    width,
    height,
    legend: { show: false },
    scales: { x: { time: clock }, ...Object.fromEntries(scales.map((scale) => [scale, rangeFrom(least)])) },
    axes: [
      { ...axis, values: clock ? clockTicks : (_, splits) => splits.map(seconds) },
      ...scales.map((scale, i) => ({
        ...axis,
        scale,
        size: 56,
        side: i === 0 ? (3 as const) : (1 as const),
        ...(scales.length > 1 ? { label: scale.slice(2), labelFont: axis.font, labelSize: 18 } : {}),
        // The lines of a second grid would lie between those of the first.
        ...(i > 0 ? { grid: { show: false } } : {}),
      })),
    ],
    // Dragging is handled in plot-gestures.ts, because uPlot supports only the mouse.
    cursor: { drag: { x: false, y: false, setScale: false }, y: false, points: { size: 6 } },
    series: [
      {},
      ...series.map((one, i) => ({
        label: one.label,
        scale: scaleOf(one),
        stroke: () => colour(`--series-${i % colours}`),
        ...(stacked
          ? {
              ...{ width: 0, points: { show: false } },
              fill: () => colour(`--series-${i % colours}`),
              paths: bars,
            }
          : { width: 1.25, points: { size: 4 } }),
      })),
    ],
    hooks: {
      drawClear: [(own) => drawBands(own, newest.current.bands ?? [], colour)],
      setCursor: [(own) => point(own.cursor.idx ?? null)],
    },
  };
}

/** Bars that begin at their x and touch the next one, but for a pixel. */
const bars = uPlot.paths.bars?.({ size: [1], align: 1, gap: 1 });

/** Range of an axis that begins at a value, with some space above. */
function rangeFrom(least: number | undefined): uPlot.Scale {
  if (least === undefined) return {};
  return { range: (_, __, high) => [least, Math.max(least, high ?? least) * 1.05 || 1] };
}

/** Scale of a line. The prefix keeps a field named x apart from the time. */
function scaleOf({ axis }: PlotProps['series'][number]): string {
  return axis === undefined ? 'y' : `y ${axis}`;
}

/** Labels of the time axis, with the time of day in the 24-hour format, and the date where it changes. */
const clockTicks: uPlot.Axis.Values = [
  [86_400, '{D} {MMM}', null, null, null, null, null, null, 1],
  [60, '{HH}:{mm}', '\n{D} {MMM}', null, '\n{D} {MMM}', null, null, null, 1],
  [1, '{HH}:{mm}:{ss}', '\n{D} {MMM}', null, '\n{D} {MMM}', null, null, null, 1],
  [0.001, '{ss}.{fff}', '\n{HH}:{mm}', null, '\n{HH}:{mm}', null, '\n{HH}:{mm}', null, 1],
];

function colour(variable: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(variable).trim();
}

/** A time in s as text; 90 becomes `1:30`, and 0.25 becomes `0.25 s`. */
function seconds(value: number): string {
  if (Math.abs(value) < 60) return `${Number(value.toFixed(3))} s`;
  const whole = Math.abs(value);
  const rest = Number((whole % 60).toFixed(3));
  return `${value < 0 ? '-' : ''}${Math.floor(whole / 60)}:${rest < 10 ? '0' : ''}${rest}`;
}

/** The height up to which the bar of each series reaches. The first series is drawn first, on the whole height, and each later one over it. */
function stackedData(
  [xs, ...columns]: uPlot.AlignedData,
  isShown: (series: number) => boolean,
): uPlot.AlignedData {
  const tops = columns.map((column) => Array.from(column) as (number | null | undefined)[]);
  for (let at = 0; at < xs.length; at++) {
    let sum = 0;
    for (let i = tops.length - 1; i >= 0; i--) {
      const own = tops[i] as (number | null | undefined)[];
      const value = own[at];
      if (value === null || value === undefined || !isShown(i)) continue;
      sum += value;
      own[at] = sum;
    }
  }
  return [xs, ...tops] as uPlot.AlignedData;
}

function written(value: number | null | undefined): string {
  return value === null || value === undefined ? '' : Number(value.toPrecision(4)).toString();
}

function summaryOf({ data, series, bands = [] }: PlotProps): string {
  const [from, to] = extentOf(data);
  const lines = series.map(({ label }, i) => {
    let low = Number.POSITIVE_INFINITY;
    let high = Number.NEGATIVE_INFINITY;
    for (const value of data[i + 1] ?? []) {
      if (value === null || value === undefined) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
    return low > high ? `${label} has no value` : `${label} from ${written(low)} to ${written(high)}`;
  });
  const named = bands.length === 0 ? '' : ` Marked: ${bands.map(({ label }) => label).join(', ')}.`;
  return `${written(to - from)} seconds. ${lines.join('; ')}.${named}`;
}

/** A named span of x. */
export interface Band {
  from: number;
  to: number;
  label: string;
}

function bandNames(bands: readonly Band[]): string[] {
  return [...new Set(bands.map(({ label }) => label))].sort();
}

/** Equal names have the same color. */
function bandColour(names: readonly string[], { label }: Band): string {
  return colour(`--series-${(names.indexOf(label) + 1) % colours}`);
}

/** Draws spans behind the lines. */
function drawBands(plot: uPlot, bands: readonly Band[], colour: (variable: string) => string): void {
  const { ctx } = plot;
  const { left, top, width, height } = plot.bbox;
  const names = bandNames(bands);
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, width, height);
  ctx.clip();
  ctx.font = `${12 * ratio}px system-ui, sans-serif`;
  ctx.textAlign = 'left';
  ctx.textBaseline = 'top';
  for (const band of bands) {
    const { from, to, label } = band;
    const start = Math.max(left, plot.valToPos(from, 'x', true));
    const end = Math.min(left + width, plot.valToPos(to, 'x', true));
    if (end <= start) continue;
    ctx.fillStyle = bandColour(names, band);
    ctx.globalAlpha = 0.13;
    ctx.fillRect(start, top, end - start, height);
    ctx.globalAlpha = 1;
    ctx.fillRect(start, top, end - start, 3 * ratio);
    const room = end - start - 8 * ratio;
    if (ctx.measureText(label).width > room) continue;
    ctx.fillStyle = colour('--ink');
    ctx.fillText(label, start + 4 * ratio, top + 6 * ratio);
  }
  ctx.restore();
}
