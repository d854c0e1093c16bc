import type { RunsComparison } from './compare.js';

/** One axis of a parallel-coordinates plot. */
export interface Axis {
  name: string;
  /** Position at which each run crosses the axis, from 0 (bottom) to 1 (top); null = the run has no value. */
  places: (number | null)[];
  /** Labels on the axis, at positions from 0 to 1. */
  ticks: { at: number; text: string }[];
}

/** Metrics that get an axis. The most reliable ones are last, where readers look last. */
const plotted = [
  ...['arenaBytes', 'latencyUs', 'floatBytes', 'valLoss', 'valRmse', 'valAccuracy'],
  ...['innerRmse', 'innerMacroF1', 'foldsRmse', 'foldsMacroF1'],
];

/** Maximum number of axes. More axes would be too close together to read. */
const mostAxes = 12;

type Value = string | number | boolean | null;

/** Axes for the settings that differ, followed by the plotted metrics that differ. If there are too many axes, settings are omitted. */
export function axesOf({ params, metrics }: Pick<RunsComparison, 'params' | 'metrics'>): Axis[] {
  const measured = plotted.flatMap((name) => {
    const found = metrics.find((each) => each.name === name);
    const values = found?.values.map((metric) => metric?.value ?? null) ?? [];
    return new Set(values.filter((value) => value !== null)).size > 1 ? [axisOf(name, values)] : [];
  });
  const settings = params.map(({ name, values }) => axisOf(name.replace(/^model\.(?:train\.)?/, ''), values));
  return [...settings.slice(0, mostAxes - measured.length), ...measured];
}

/** Numbers are placed by value; other values are evenly spaced in the order of appearance. */
function axisOf(name: string, values: readonly Value[]): Axis {
  const known = values.filter((value) => value !== null);
  if (known.every((value) => typeof value === 'number'))
    return numericAxis(name, values as (number | null)[]);
  const texts = [...new Set(known.map(String))];
  const place = (text: string) => (texts.length === 1 ? 0.5 : texts.indexOf(text) / (texts.length - 1));
  return {
    name,
    places: values.map((value) => (value === null ? null : place(String(value)))),
    ticks: texts.map((text) => ({ at: place(text), text })),
  };
}

function numericAxis(name: string, values: readonly (number | null)[]): Axis {
  const known = values.flatMap((value) => value ?? []);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const place = (value: number) => (high === low ? 0.5 : (value - low) / (high - low));
  const ticks = high === low ? [low] : [low, (low + high) / 2, high];
  return {
    name,
    places: values.map((value) => (value === null ? null : place(value))),
    ticks: ticks.map((value) => ({ at: place(value), text: String(Number(value.toPrecision(3))) })),
  };
}
