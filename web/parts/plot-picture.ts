import type uPlot from 'uplot';
import { keyWidth, legendHeight, legendPlaces, rowHeight } from './plot-legend.js';

/** A PNG picture of the plot as it is shown, with its legend. @param colour returns the value of a CSS variable */
export function plotPicture(
  plot: uPlot,
  series: readonly { label: string; color: string }[],
  colour: (variable: string) => string,
): Promise<Blob | null> {
  const { canvas } = plot.ctx;
  const ratio = devicePixelRatio;
  const font = '13px system-ui, sans-serif';
  const picture = document.createElement('canvas');
  const pen = picture.getContext('2d');
  if (!pen) return Promise.resolve(null);
  pen.font = font;
  const places = legendPlaces(
    series.map(({ label }) => pen.measureText(label).width),
    canvas.width / ratio,
  );
  picture.width = canvas.width;
  picture.height = canvas.height + Math.ceil(legendHeight(places) * ratio);
  pen.fillStyle = colour('--card');
  pen.fillRect(0, 0, picture.width, picture.height);
  pen.drawImage(canvas, 0, 0);
  pen.scale(ratio, ratio);
  // The font was reset when the canvas got its size.
  pen.font = font;
  pen.textBaseline = 'middle';
  for (const [i, { label, color }] of series.entries()) {
    const { left, top, width } = places[i] ?? { left: 0, top: 0, width: 0 };
    const middle = canvas.height / ratio + top + rowHeight / 2;
    pen.fillStyle = color;
    pen.fillRect(left, middle - 1.5, 14, 3);
    pen.fillStyle = colour('--ink');
    pen.fillText(label, left + keyWidth, middle, width);
  }
  return new Promise((resolve) => picture.toBlob(resolve, 'image/png'));
}
