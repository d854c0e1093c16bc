import type uPlot from 'uplot';

/** A stretch of x with a name. */
export interface Band {
  from: number;
  to: number;
  label: string;
}

/** Draws stretches behind the lines; those of one name have one colour. */
export function drawBands(plot: uPlot, bands: readonly Band[], colour: (variable: string) => string): void {
  const { ctx } = plot;
  const { left, top, width, height } = plot.bbox;
  const names = [...new Set(bands.map(({ label }) => label))].sort();
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, width, height);
  ctx.clip();
  ctx.font = `${12 * ratio}px system-ui, sans-serif`;
  ctx.textAlign = 'left';
  ctx.textBaseline = 'top';
  for (const { from, to, label } of bands) {
    const start = Math.max(left, plot.valToPos(from, 'x', true));
    const end = Math.min(left + width, plot.valToPos(to, 'x', true));
    if (end <= start) continue;
    ctx.fillStyle = colour(`--series-${(names.indexOf(label) + 1) % 8}`);
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
