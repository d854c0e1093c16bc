import { type Html, html, htmlTable, legend, type Paint } from '../../formats/index.js';
import type { WorstWindow } from '../evaluate/result.js';
import type { ReportData } from './gather.js';

const width = 440;
const height = 170;
const margin = { left: 46, right: 14, top: 10, bottom: 28 };
/** Colours that the style has for curves. */
const colours = 6;

/** The windows that the network is most wrong about, drawn; of a table a list of them. */
export function worst({ evaluation }: ReportData): Html | null {
  if (!evaluation || evaluation.worst.length === 0) return null;
  const drawn = evaluation.worst.filter(({ samples }) => samples !== null);
  const isValue = evaluation.output === 'value';
  if (drawn.length === 0) {
    const rows = evaluation.worst.map((one) => [
      one.recording,
      one.truth,
      one.predicted,
      one.score.toPrecision(3),
    ]);
    return html`<h2>Worst answers</h2>${htmlTable(['Row', 'Truth', 'Answer', isValue ? 'Error' : 'Score of the truth'], rows)}`;
  }
  const figures = drawn.map((one) => windowFigure(one, isValue));
  return html`<h2>Worst windows</h2><div class="pair">${figures}</div>`;
}

function windowFigure(
  { recording, startS, truth, predicted, score, samples }: WorstWindow,
  isValue: boolean,
): Html {
  if (samples === null) return html``;
  const { fields, seconds, values } = samples;
  const all = values.flat();
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const x = (i: number, count: number) =>
    margin.left + (i / Math.max(1, count - 1)) * (width - margin.left - margin.right);
  const y = (value: number) =>
    margin.top + (1 - (value - low) / (high - low || 1)) * (height - margin.top - margin.bottom);
  const lines = values.slice(0, colours).map((column, f) => {
    const points = column.map((value, i) => `${x(i, column.length).toFixed(1)},${y(value).toFixed(1)}`);
    return html`<polyline class="line series-${f + 1}" points="${points.join(' ')}"/>`;
  });
  const grid = [low, (low + high) / 2, high].map(
    (value) =>
      html`<line class="grid" x1="${margin.left}" x2="${width - margin.right}" y1="${y(value).toFixed(1)}" y2="${y(value).toFixed(1)}"/><text class="tick" text-anchor="end" x="${margin.left - 8}" y="${(y(value) + 4).toFixed(1)}">${String(Number(value.toPrecision(3)))}</text>`,
  );
  const start = startS ?? 0;
  const ends = [start, start + seconds].map(
    (at, i) =>
      html`<text class="tick" text-anchor="${i === 0 ? 'start' : 'end'}" x="${i === 0 ? margin.left : width - margin.right}" y="${height - 8}">${at.toFixed(2)} s</text>`,
  );
  const keys = legend(fields.slice(0, colours).map((name, f) => ({ name, paint: (f + 1) as Paint })));
  const how = isValue ? `off by ${score.toPrecision(3)}` : `score of the truth ${score.toPrecision(2)}`;
  return html`<figure><figcaption>${recording}: ${truth}, taken for ${predicted}<span class="note">${how}</span>${keys}</figcaption><svg viewBox="0 0 ${width} ${height}" role="img" aria-label="Samples of the window">${grid}${ends}${lines}</svg></figure>`;
}
