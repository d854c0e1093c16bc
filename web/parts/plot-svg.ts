import { keyWidth, legendHeight, legendPlaces, rowHeight } from './plot-legend.js';

export interface SvgLine {
  label: string;
  /** Lines with the same axis share a scale with this name; undefined = one without a name. */
  axis?: string | undefined;
  color: string;
  /** y for each x; null is a gap. */
  values: ArrayLike<number | null | undefined>;
}

export interface SvgPlot {
  /** x in seconds, ascending. */
  xs: ArrayLike<number>;
  lines: readonly SvgLine[];
  /** The visible span of x. */
  view: readonly [from: number, to: number];
  /** Named spans of x that are drawn behind the lines. */
  bands: readonly { from: number; to: number; label: string; color: string }[];
  /** Whether the lines are stacked bars, each from its x to the next one. */
  stacked?: boolean;
  /** The lowest value of the axes; absent = below the lowest value of the data. */
  least?: number | undefined;
  /** Whether x is a time of day, s since 1970, in the reader's time zone. */
  clock: boolean;
  /** Size of the plot with its axes, px. */
  width: number;
  height: number;
  colors: { background: string; ink: string; soft: string; rule: string };
}

/** Space for an axis of y, for that of x, and above the lines, px. */
const [axisWidth, axisHeight, above] = [56, 34, 10];
/** Approximate width of a character of the legend's font, px. The text is measured only by the program that shows the picture. */
const characterWidth = 7.2;
const font = 'font-family="system-ui, sans-serif" font-size="12"';

/**
 * The visible part of a plot with its legend as SVG. Each line has at most four points per pixel, so that long recordings give small
 * files of the same look.
 */
export function plotSvg(plot: SvgPlot): string {
  const { lines, view, bands, width, height, colors } = plot;
  const scales = [...new Set(lines.map(({ axis }) => axis ?? ''))];
  const left = axisWidth;
  const right = width - Math.max(10, axisWidth * (scales.length - 1));
  const bottom = height - axisHeight;
  const x = (value: number) => left + ((value - view[0]) / (view[1] - view[0])) * (right - left);
  const parts: string[] = [];
  const area = `x="${left}" y="${above}" width="${short(right - left)}" height="${bottom - above}"`;
  parts.push(`<clipPath id="area"><rect ${area}/></clipPath>`);
  for (const { from, to, label, color } of bands) {
    const [start, end] = [Math.max(left, x(from)), Math.min(right, x(to))];
    if (end <= start) continue;
    const place = `x="${short(start)}" y="${above}" width="${short(end - start)}"`;
    parts.push(`<rect ${place} height="${bottom - above}" fill="${color}" opacity="0.13"/>`);
    parts.push(`<rect ${place} height="3" fill="${color}"><title>${escaped(label)}</title></rect>`);
  }
  for (const at of ticksOf(view, plot.clock ? clockSteps : [], (right - left) / 90)) {
    const place = short(x(at));
    parts.push(rule(colors.rule, place, above, place, bottom));
    parts.push(
      text(colors.soft, place, bottom + 18, 'middle', plot.clock ? clockText(at, view) : numberText(at)),
    );
  }
  for (const [i, name] of scales.entries()) {
    const own = lines.filter(({ axis }) => (axis ?? '') === name);
    const range = rangeOf(plot.xs, plot.stacked ? [stackOf(plot.xs, own)] : own, view);
    if (plot.least !== undefined) range[0] = plot.least;
    const y = (value: number) => bottom - ((value - range[0]) / (range[1] - range[0])) * (bottom - above);
    const edge = i === 0 ? left : right + axisWidth * (i - 1);
    for (const at of ticksOf(range, [], (bottom - above) / 40)) {
      const place = y(at);
      if (i === 0) parts.push(rule(colors.rule, left, short(place), right, short(place)));
      const [at2, anchor] = i === 0 ? [edge - 6, 'end'] : [edge + 6, 'start'];
      parts.push(text(colors.soft, at2, short(place + 4), anchor, numberText(at)));
    }
    if (scales.length > 1 && name !== '')
      parts.push(text(colors.ink, i === 0 ? 4 : edge + 6, above + 2, 'start', name));
    const paths = plot.stacked
      ? barsOf(plot.xs, own, x, y)
      : own.flatMap((line) => pathsOf(plot.xs, line, view, x, y));
    parts.push('<g clip-path="url(#area)">', ...paths, '</g>');
  }
  const places = legendPlaces(
    lines.map(({ label }) => label.length * characterWidth),
    width,
  );
  for (const [i, { label, color }] of lines.entries()) {
    const { left: start, top, width: room } = places[i] ?? { left: 0, top: 0, width: 0 };
    const middle = height + top + rowHeight / 2;
    parts.push(
      `<rect x="${short(start)}" y="${short(middle - 1.5)}" width="14" height="3" fill="${color}"/>`,
    );
    const isLong = label.length * characterWidth > room;
    parts.push(
      text(colors.ink, short(start + keyWidth), short(middle + 4), 'start', label, isLong ? room : undefined),
    );
  }
  const whole = height + Math.ceil(legendHeight(places));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${whole}" viewBox="0 0 ${width} ${whole}" ${font}>`,
    `<rect width="100%" height="100%" fill="${colors.background}"/>`,
    ...parts,
    '</svg>',
    '',
  ].join('\n');
}

/** The sums of the lines, as one line. */
function stackOf(xs: ArrayLike<number>, lines: readonly SvgLine[]): SvgLine {
  const values = Array.from(xs, (_, i) => lines.reduce((sum, line) => sum + (line.values[i] ?? 0), 0));
  return { label: '', color: '', values };
}

/** A bar for each value, on the bars of the later lines. Each is as wide as the shortest distance between two x. */
function barsOf(
  xs: ArrayLike<number>,
  lines: readonly SvgLine[],
  x: (value: number) => number,
  y: (value: number) => number,
): string[] {
  const distances = Array.from(xs, (at, i) => (xs[i + 1] ?? Number.POSITIVE_INFINITY) - at);
  const wide = Math.min(...distances);
  const parts: string[] = [];
  for (let i = 0; i < xs.length; i++) {
    let base = 0;
    for (const { values, color } of [...lines].reverse()) {
      const value = values[i] ?? 0;
      if (value <= 0) continue;
      const left = x(xs[i] ?? 0);
      const width = Number.isFinite(wide) ? x((xs[i] ?? 0) + wide) - left - 1 : 20;
      const [low, high] = [y(base), y(base + value)];
      base += value;
      parts.push(
        `<rect x="${short(left)}" y="${short(high)}" width="${short(Math.max(1, width))}" height="${short(low - high)}" fill="${color}"/>`,
      );
    }
  }
  return parts;
}

/** The visible part of a line, up to both edges, without its gaps: of the points in one pixel, the first, the lowest, the highest and the last one. */
function pathsOf(
  xs: ArrayLike<number>,
  { values, color }: SvgLine,
  view: readonly [number, number],
  x: (value: number) => number,
  y: (value: number) => number,
): string[] {
  const paths: string[] = [];
  let points: string[] = [];
  let pixel = null as { at: number; points: [number, number][] } | null;
  const flush = () => {
    if (!pixel) return;
    const { points: all } = pixel;
    const heights = all.map(([, each]) => each);
    const few = [
      0,
      heights.indexOf(Math.min(...heights)),
      heights.indexOf(Math.max(...heights)),
      all.length - 1,
    ];
    for (const i of [...new Set(few)].sort((a, b) => a - b))
      points.push((all[i] ?? [0, 0]).map(short).join(' '));
    pixel = null;
  };
  const end = () => {
    flush();
    // A single point has no length, so it is drawn by its round ends.
    const [only = ''] = points;
    if (points.length > 0) paths.push(`M${points.length === 1 ? `${only}L${only}` : points.join('L')}`);
    points = [];
  };
  const add = (at: number, value: number) => {
    const point: [number, number] = [x(at), y(value)];
    const here = Math.floor(point[0]);
    if (pixel?.at !== here) flush();
    pixel ??= { at: here, points: [] };
    pixel.points.push(point);
  };
  for (const run of visibleRuns(xs, values, view)) {
    for (const [at, value] of run) add(at, value);
    end();
  }
  return paths.map(
    (path) =>
      `<path d="${path}" fill="none" stroke="${color}" stroke-width="1.25" stroke-linejoin="round" stroke-linecap="round"/>`,
  );
}

/** The points of a line in the view, and where the line crosses its edges, in a run between each two gaps. */
function visibleRuns(
  xs: ArrayLike<number>,
  values: SvgLine['values'],
  [from, to]: readonly [number, number],
): [at: number, value: number][][] {
  const runs: [number, number][][] = [];
  let run: [number, number][] = [];
  let before = null as [number, number] | null;
  for (let i = 0; i < xs.length; i++) {
    const [at, value] = [xs[i] ?? 0, values[i]];
    if (value === null) {
      if (run.length > 0) runs.push(run);
      [run, before] = [[], null];
    }
    // Another line's point: uPlot joins over it.
    if (value !== null && value !== undefined && Number.isFinite(value)) {
      const here: [number, number] = [at, value];
      if (before && before[0] < from && at > from) run.push([from, valueAt(from, before, here)]);
      if (at >= from && at <= to) run.push(here);
      if (before && before[0] < to && at > to) run.push([to, valueAt(to, before, here)]);
      before = here;
      if (at > to) break;
    }
  }
  if (run.length > 0) runs.push(run);
  return runs;
}

/** The value at a time on the straight line between two points. */
function valueAt(at: number, [t0, v0]: [number, number], [t1, v1]: [number, number]): number {
  return v0 + ((v1 - v0) * (at - t0)) / (t1 - t0);
}

/** The visible range of the lines with a tenth above and below; a constant line gets a range of its own. */
function rangeOf(
  xs: ArrayLike<number>,
  lines: readonly SvgLine[],
  [from, to]: readonly [number, number],
): [number, number] {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const { values } of lines) {
    for (let i = 0; i < xs.length; i++) {
      const [at, value] = [xs[i] ?? 0, values[i]];
      if (at < from || at > to || value === null || value === undefined || !Number.isFinite(value)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (low > high) {
    // Between two points, only a line through the view is visible.
    const crossing = lines.flatMap(({ values }) => visibleRuns(xs, values, [from, to]).flat());
    const heights = crossing.map(([, value]) => value);
    if (heights.length === 0) return [0, 1];
    [low, high] = [Math.min(...heights), Math.max(...heights)];
  }
  const margin = high > low ? (high - low) / 10 : Math.abs(high) / 10 || 1;
  return [low - margin, high + margin];
}

/** Steps of the time of day, s: below a second and above a day, decimal ones. */
const clockSteps = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400,
];

/** Round positions in a range. @param most number of them */
function ticksOf([from, to]: readonly [number, number], steps: readonly number[], most: number): number[] {
  const least = (to - from) / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(least));
  const decimal = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= least) ?? least;
  const step = (least >= 1 && steps.find((each) => each >= least)) || decimal;
  const ticks: number[] = [];
  for (let i = Math.ceil(from / step); i * step <= to; i++) ticks.push(Number((i * step).toPrecision(15)));
  return ticks;
}

function clockText(at: number, [from, to]: readonly [number, number]): string {
  const time = new Date(at * 1000);
  const two = (value: number) => String(value).padStart(2, '0');
  if (to - from > 2 * 86_400)
    return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  const minutes = `${two(time.getHours())}:${two(time.getMinutes())}`;
  if (to - from > 1800) return minutes;
  const fraction = to - from < 5 ? `.${String(time.getMilliseconds()).padStart(3, '0')}` : '';
  return `${minutes}:${two(time.getSeconds())}${fraction}`;
}

function numberText(value: number): string {
  return Number(value.toPrecision(6)).toString();
}

function short(value: number): number {
  return Number(value.toFixed(2));
}

function rule(color: string, x1: number, y1: number, x2: number, y2: number): string {
  return `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" stroke="${color}"/>`;
}

/** @param length width to which the text is condensed, as on a canvas, px */
function text(color: string, x: number, y: number, anchor: string, content: string, length?: number): string {
  const condensed =
    length === undefined ? '' : ` textLength="${short(length)}" lengthAdjust="spacingAndGlyphs"`;
  return `<text x="${x}" y="${y}" fill="${color}" text-anchor="${anchor}"${condensed}>${escaped(content)}</text>`;
}

/** Names of fields come from devices. Characters that XML does not allow are removed. */
function escaped(content: string): string {
  const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return content
    .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '')
    .replace(/[&<>"]/g, (character) => entities[character] ?? '');
}
