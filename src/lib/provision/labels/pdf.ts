import { type LabelLayout, labelHeight, labelWidth } from './layout.js';

/** A PDF's unit is 1/72 inch. */
const point = 72 / 25.4;
/** A4, and the labels on it, mm. */
const sheet = { width: 210, height: 297, columns: 4, rows: 11, left: 5, top: 11 };
const perSheet = sheet.columns * sheet.rows;

/**
 * A4 sheets of 44 labels with lines to cut along. Source: PDF 1.7 (ISO 32000-1), 7.5 (file structure), 8 (graphics), 9.6.2.2
 * (the standard fonts, which need not be embedded).
 */
export function labelsPdf(labels: readonly LabelLayout[]): Uint8Array {
  const pages = Array.from({ length: Math.max(1, Math.ceil(labels.length / perSheet)) }, (_, i) =>
    pageContent(labels.slice(i * perSheet, (i + 1) * perSheet)),
  );
  const kids = pages.map((_, i) => `${5 + 2 * i} 0 R`).join(' ');
  const box = `[0 0 ${pt(sheet.width)} ${pt(sheet.height)}]`;
  const objects = [
    '<< /Type /Catalog /Pages 2 0 R >>',
    `<< /Type /Pages /Kids [${kids}] /Count ${pages.length} >>`,
    font('Courier'),
    font('Courier-Bold'),
    ...pages.flatMap((content, i) => [
      `<< /Type /Page /Parent 2 0 R /MediaBox ${box} /Resources << /Font << /F1 3 0 R /F2 4 0 R >> >> /Contents ${6 + 2 * i} 0 R >>`,
      `<< /Length ${Buffer.byteLength(content, 'latin1')} >>\nstream\n${content}\nendstream`,
    ]),
  ];
  return document(objects);
}

function font(name: string): string {
  return `<< /Type /Font /Subtype /Type1 /BaseFont /${name} /Encoding /WinAnsiEncoding >>`;
}

/** Objects, the table of where each begins, and where that table does. */
function document(objects: readonly string[]): Uint8Array {
  let text = '%PDF-1.4\n%\xe2\xe3\xcf\xd3\n';
  const offsets = objects.map((object, i) => {
    const offset = text.length;
    text += `${i + 1} 0 obj\n${object}\nendobj\n`;
    return offset;
  });
  const rows = offsets.map((offset) => `${String(offset).padStart(10, '0')} 00000 n \n`).join('');
  const table = `xref\n0 ${objects.length + 1}\n0000000000 65535 f \n${rows}`;
  const trailer = `trailer\n<< /Size ${objects.length + 1} /Root 1 0 R >>\nstartxref\n${text.length}\n%%EOF\n`;
  return Buffer.from(text + table + trailer, 'latin1');
}

function pageContent(labels: readonly LabelLayout[]): string {
  return labels
    .map((label, i) => {
      const left = sheet.left + (i % sheet.columns) * labelWidth;
      const top = sheet.top + Math.floor(i / sheet.columns) * labelHeight;
      return labelContent(label, left, top);
    })
    .join('\n');
}

/** `left` and `top` from the sheet's upper left corner; a PDF counts from the lower left one. */
function labelContent({ texts, bars }: LabelLayout, left: number, top: number): string {
  const at = (x: number, y: number) => `${pt(left + x)} ${pt(sheet.height - top - y)}`;
  const edge = `0.75 G 0.3 w ${at(0, labelHeight)} ${pt(labelWidth)} ${pt(labelHeight)} re S`;
  const rectangles = bars.map(
    ({ x, y, width, height }) => `${at(x, y + height)} ${pt(width)} ${pt(height)} re`,
  );
  const lines = texts.map(
    ({ text, x, y, size, bold }) =>
      `BT /F${bold ? 2 : 1} ${pt(size)} Tf ${at(x, y)} Td (${escaped(text)}) Tj ET`,
  );
  return [edge, '0 g', ...rectangles, 'f', ...lines].join('\n');
}

/** A string of the standard encoding; other signs have no place in it. */
function escaped(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').replace(/[\\()]/g, '\\$&');
}

function pt(mm: number): string {
  return String(Math.round(mm * point * 1000) / 1000);
}
