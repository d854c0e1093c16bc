import { type Html, html } from '../../formats/index.js';
import type { CalibrationBin } from '../evaluate/calibration.js';

const size = 260;
const margin = { left: 46, right: 14, top: 12, bottom: 40 };
const plot = { width: 440 - margin.left - margin.right, height: size - margin.top - margin.bottom };

/** Share of right answers by confidence: one bar a bin, and the diagonal of a perfect one. */
export function calibrationChart(bins: readonly CalibrationBin[]): Html {
  const x = (share: number) => (margin.left + share * plot.width).toFixed(1);
  const y = (share: number) => (margin.top + (1 - share) * plot.height).toFixed(1);
  const ticks = [0, 0.25, 0.5, 0.75, 1];
  const grid = ticks.map(
    (share) =>
      html`<line class="grid" x1="${x(0)}" x2="${x(1)}" y1="${y(share)}" y2="${y(share)}"/><text class="tick" text-anchor="end" x="${margin.left - 8}" y="${Number(y(share)) + 4}">${Math.round(share * 100)} %</text><text class="tick" text-anchor="middle" x="${x(share)}" y="${size - margin.bottom + 18}">${Math.round(share * 100)} %</text>`,
  );
  const bars = bins
    .filter(({ rows }) => rows > 0)
    .map(({ low, high, rows, accuracy, confidence }) => {
      const title = `${rows} answers with a confidence of ${(confidence * 100).toFixed(0)} % on average, ${(accuracy * 100).toFixed(0)} % of them right`;
      const width = ((high - low) * plot.width - 3).toFixed(1);
      const height = Math.max(1, accuracy * plot.height).toFixed(1);
      return html`<rect class="bar" x="${x(low)}" y="${y(accuracy)}" width="${width}" height="${height}"><title>${title}</title></rect>`;
    });
  return html`<figure><figcaption>Right answers by confidence<span class="keys"><span class="key mark">as sure as right</span></span></figcaption><svg viewBox="0 0 440 ${size}" role="img" aria-label="Share of right answers by confidence">${grid}${bars}<line class="mark" x1="${x(0)}" y1="${y(0)}" x2="${x(1)}" y2="${y(1)}"/><text class="tick" text-anchor="middle" x="${x(0.5)}" y="${size - 6}">confidence</text></svg></figure>`;
}
