import { type LabelLayout, labelHeight, labelWidth } from './layout.js';

/** Labels below each other, in mm. Grey lines show where to cut. */
export function labelsSvg(labels: readonly LabelLayout[]): string {
  const height = labelHeight * labels.length;
  const body = labels.map(
    (label, i) => `  <g transform="translate(0 ${i * labelHeight})">\n${labelSvg(label)}\n  </g>`,
  );
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" width="${labelWidth}mm" height="${height}mm" viewBox="0 0 ${labelWidth} ${height}">`,
    `  <rect width="${labelWidth}" height="${height}" fill="#fff"/>`,
    ...body,
    '</svg>',
  ].join('\n')}\n`;
}

function labelSvg({ texts, bars }: LabelLayout): string {
  const path = bars
    .map(({ x, y, width, height }) => `M${mm(x)} ${mm(y)}h${mm(width)}v${mm(height)}h${mm(-width)}z`)
    .join('');
  const edge = `    <rect x="0.05" y="0.05" width="${labelWidth - 0.1}" height="${labelHeight - 0.1}" fill="none" stroke="#bbb" stroke-width="0.1"/>`;
  const lines = texts.map(
    ({ text, x, y, size, bold }) =>
      `    <text x="${mm(x)}" y="${mm(y)}" font-family="Courier, monospace" font-size="${mm(size)}"${bold ? ' font-weight="bold"' : ''}>${escaped(text)}</text>`,
  );
  return [edge, `    <path d="${path}" shape-rendering="crispEdges"/>`, ...lines].join('\n');
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/** Thousandths, without needless zeros. */
function mm(value: number): string {
  return String(Math.round(value * 1000) / 1000);
}
