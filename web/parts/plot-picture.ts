import type uPlot from 'uplot';

/** Height of the legend in a picture, CSS px. */
const legendHeight = 30;

/** A PNG picture of the plot as it is shown, with its legend. @param colour returns the value of a CSS variable */
export function plotPicture(
  plot: uPlot,
  series: readonly { label: string; color: string }[],
  colour: (variable: string) => string,
): Promise<Blob | null> {
  const { canvas } = plot.ctx;
  const picture = document.createElement('canvas');
  picture.width = canvas.width;
  picture.height = canvas.height + legendHeight * devicePixelRatio;
  const pen = picture.getContext('2d');
  if (!pen) return Promise.resolve(null);
  pen.fillStyle = colour('--card');
  pen.fillRect(0, 0, picture.width, picture.height);
  pen.drawImage(canvas, 0, 0);
  pen.scale(devicePixelRatio, devicePixelRatio);
  pen.font = '13px system-ui, sans-serif';
  pen.textBaseline = 'middle';
  const middle = canvas.height / devicePixelRatio + legendHeight / 2;
  let left = 56;
  for (const { label, color } of series) {
    pen.fillStyle = color;
    pen.fillRect(left, middle - 1.5, 14, 3);
    pen.fillStyle = colour('--ink');
    pen.fillText(label, left + 21, middle);
    left += 21 + pen.measureText(label).width + 18;
  }
  return new Promise((resolve) => picture.toBlob(resolve, 'image/png'));
}
