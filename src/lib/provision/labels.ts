import type { RegistryClient } from '../api/client.js';
import type { DeviceInfo } from '../api/fields.js';
import { AiotError } from '../core/errors.js';
import { requireWritable, writeFileAtomic } from '../core/files.js';

/** Contents of a device's printed label; none of it is secret. */
export interface LabelDevice {
  name: string;
  id: string;
  type: string;
  /** MAC in lower case with colons; null = not known. */
  mac: string | null;
  /** The guide's decimal chip id. */
  chipId: string | null;
  /** SHA-256 of the certificate's DER, 64 hex digits; only the beginning is printed. */
  fingerprint: string;
}

type LabelFormat = 'svg' | 'pdf';

/** Checks the label file before a device is provisioned. @throws AIOT_USAGE, AIOT_FILE_NOT_WRITABLE */
export async function requireLabelFile(file: string | undefined): Promise<void> {
  if (file === undefined) return;
  labelFormatOf(file);
  await requireWritable(file);
}

/** Writes the labels of the devices to a file, in order. @throws AIOT_USAGE, AIOT_FILE_NOT_WRITABLE */
export async function writeLabels(file: string, devices: readonly LabelDevice[]): Promise<void> {
  await writeFileAtomic(file, await deviceLabels(devices, labelFormatOf(file)));
}

/** The label of a registered device; a device still waiting for its first certificate has none. @throws AIOT_REQUEST_INVALID */
export function labelOf({ name, id, type, mac, chipId, fingerprint, next }: DeviceInfo): LabelDevice {
  const certificate = next?.fingerprint ?? fingerprint;
  if (certificate !== null) return { name, id, type, mac, chipId, fingerprint: certificate };
  throw new AiotError('AIOT_REQUEST_INVALID', `${name} has no certificate yet`, {
    next: 'Its label can be printed after it has claimed its certificate.',
  });
}

interface LabelDevicesOptions {
  client: { devices: Pick<RegistryClient['devices'], 'get' | 'list'> };
  /** Names of the devices; empty = all devices that have a certificate and are not revoked. */
  names: readonly string[];
  out: string;
}

/** Writes the labels of registered devices; returns their names. @throws AIOT_NOT_FOUND, and the errors of `writeLabels` */
export async function labelDevices({ client, names, out }: LabelDevicesOptions): Promise<string[]> {
  await requireLabelFile(out);
  const found: DeviceInfo[] = [];
  for (const name of names) found.push(await client.devices.get(name));
  const all = names.length > 0 ? found : (await client.devices.list()).filter(printable);
  await writeLabels(out, all.map(labelOf));
  return all.map(({ name }) => name);
}

function printable({ state, fingerprint }: DeviceInfo): boolean {
  return state !== 'revoked' && fingerprint !== null;
}

/**
 * Labels of 50 × 25 mm with name, type, id, MAC, chip id, the start of the certificate's fingerprint and a QR code. The output is one SVG
 * with the labels below one another (for a roll), or a PDF of A4 sheets. Nothing on them is secret.
 * @throws AIOT_USAGE if there is no device
 */
export async function deviceLabels(
  devices: readonly LabelDevice[],
  format: LabelFormat,
): Promise<Uint8Array> {
  if (devices.length === 0)
    throw new AiotError('AIOT_USAGE', 'expected at least one device to print a label for');
  const { default: encodeQR } = await import('qr');
  const layouts = devices.map((device) =>
    layoutLabel(device, encodeQR(labelContent(device), 'raw', { ecc: 'medium', border: 4 })),
  );
  return format === 'pdf' ? labelsPdf(layouts) : Buffer.from(labelsSvg(layouts));
}

/** Returns the label format for a file name. @throws AIOT_USAGE */
export function labelFormatOf(file: string): LabelFormat {
  const [, ending] = /\.(svg|pdf)$/i.exec(file) ?? [];
  if (ending) return ending.toLowerCase() === 'pdf' ? 'pdf' : 'svg';
  throw new AiotError('AIOT_USAGE', `expected a label file name that ends with .svg or .pdf, got ${file}`);
}

/** Size of one label, mm. */
const labelWidth = 50;

const labelHeight = 25;
const margin = 1;

/** Width of a Courier letter relative to the font size. */
const letterWidth = 0.6;

/** Side of the QR code including the quiet zone that readers require (four modules: ISO/IEC 18004, 6.3.8). */
const qrSide = labelHeight - margin;

/** A line of text. Lengths are in mm from the label's upper left corner; `y` is the baseline of the text. */
interface LabelText {
  text: string;
  x: number;
  y: number;
  /** Font size, mm. */
  size: number;
  bold: boolean;
}

interface LabelBar {
  x: number;
  y: number;
  width: number;
  height: number;
}

interface LabelLayout {
  texts: LabelText[];
  /** The dark modules of the QR code. Adjacent modules in a row form one bar. */
  bars: LabelBar[];
}

/** Content of the QR code: a link with the device's name, id, MAC and certificate fingerprint. None of it is secret. */
export function labelContent({ name, id, mac, fingerprint }: LabelDevice): string {
  const rest = [`id=${id}`, ...(mac === null ? [] : [`mac=${mac}`]), `cert=${fingerprint.slice(0, 16)}`];
  return `aiot:device/${name}?${rest.join('&')}`;
}

/** `modules`: rows of the QR code with its white border, true = dark. */
function layoutLabel(device: LabelDevice, modules: readonly (readonly boolean[])[]): LabelLayout {
  const step = qrSide / modules.length;
  const origin = margin / 2;
  const bars = modules.flatMap((row, y) =>
    runs(row).map(([from, to]) => ({
      x: origin + from * step,
      y: origin + y * step,
      width: (to - from) * step,
      height: step,
    })),
  );
  return { bars, texts: textsOf(device) };
}

function runs(row: readonly boolean[]): [number, number][] {
  const found: [number, number][] = [];
  for (let x = 0; x < row.length; x++) {
    if (!row[x]) continue;
    const from = x;
    while (row[x + 1]) x++;
    found.push([from, x + 1]);
  }
  return found;
}

/** Font size of the lines below the name, mm. All lines use this size, so that the id is as legible as the rest. */
const smallSize = 2.05;

const smallStep = 2.5;

/** Letters per line at that size. */
const lineLetters = Math.floor((labelWidth - qrSide - margin) / (smallSize * letterWidth));

function textsOf({ name, id, type, mac, chipId, fingerprint }: LabelDevice): LabelText[] {
  const x = qrSide;
  const width = labelWidth - x - margin;
  const small = [
    ...linesOf(type),
    ...linesOf(id),
    ...(mac === null ? [] : [mac]),
    ...(chipId === null ? [] : [`chip ${chipId}`]),
    `cert ${fingerprint.slice(0, 12)}`,
  ];
  const title = linesOf(name);
  const titleSize = sizeFor(title, width, title.length > 1 ? smallSize : 3.4);
  let y = 2;
  const lines = title.map((text) => {
    y += titleSize;
    return { text, x, y, size: titleSize, bold: true };
  });
  y += 0.3;
  const rest = small.map((text) => {
    y += smallStep;
    return { text, x, y, size: smallSize, bold: false };
  });
  return [...lines, ...rest];
}

/**
 * Splits a text into one or two lines. A longer text keeps its beginning and its end, where the names of a series differ. The QR code
 * contains the full text, and smaller letters would be illegible.
 */
function linesOf(text: string): string[] {
  if (text.length <= lineLetters) return [text];
  if (text.length > 2 * lineLetters)
    return [`${text.slice(0, lineLetters - 3)}...`, text.slice(-lineLetters)];
  // Breaks after the last separator on the first line if the rest then fits on the second; otherwise after a full line.
  const sign = text.slice(0, lineLetters).search(/[-_.][^-_.]*$/) + 1;
  const at = text.length - sign <= lineLetters && sign > 0 ? sign : lineLetters;
  return [text.slice(0, at), text.slice(at)];
}

function sizeFor(lines: readonly string[], width: number, most: number): number {
  const letters = Math.max(...lines.map((line) => line.length));
  return Math.min(most, width / (letters * letterWidth));
}

/** Labels below one another, in mm. Gray lines are cutting guides. */
function labelsSvg(labels: readonly LabelLayout[]): string {
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
      `    <text x="${mm(x)}" y="${mm(y)}" font-family="Courier, monospace" font-size="${mm(size)}"${bold ? ' font-weight="bold"' : ''}>${escapedXml(text)}</text>`,
  );
  return [edge, `    <path d="${path}" shape-rendering="crispEdges"/>`, ...lines].join('\n');
}

function escapedXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/** Rounds to thousandths, without trailing zeros. */
function mm(value: number): string {
  return String(Math.round(value * 1000) / 1000);
}

/** A PDF's unit is 1/72 inch. */
const point = 72 / 25.4;

/** Layout of the labels on an A4 sheet, mm. */
const sheet = { width: 210, height: 297, columns: 4, rows: 11, left: 5, top: 11 };

const perSheet = sheet.columns * sheet.rows;

/**
 * A4 sheets of 44 labels with cutting lines. Source: PDF 1.7 (ISO 32000-1), 7.5 (file structure), 8 (graphics), 9.6.2.2
 * (the standard fonts, which need not be embedded).
 */
function labelsPdf(labels: readonly LabelLayout[]): Uint8Array {
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

/** Joins the objects, the cross-reference table with their offsets, and the offset of that table. */
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
      return sheetLabel(label, left, top);
    })
    .join('\n');
}

/** `left` and `top` are measured from the sheet's upper left corner; PDF coordinates start at the lower left. */
function sheetLabel({ texts, bars }: LabelLayout, left: number, top: number): string {
  const at = (x: number, y: number) => `${pt(left + x)} ${pt(sheet.height - top - y)}`;
  const edge = `0.75 G 0.3 w ${at(0, labelHeight)} ${pt(labelWidth)} ${pt(labelHeight)} re S`;
  const rectangles = bars.map(
    ({ x, y, width, height }) => `${at(x, y + height)} ${pt(width)} ${pt(height)} re`,
  );
  const lines = texts.map(
    ({ text, x, y, size, bold }) =>
      `BT /F${bold ? 2 : 1} ${pt(size)} Tf ${at(x, y)} Td (${escapedPdf(text)}) Tj ET`,
  );
  return [edge, '0 g', ...rectangles, 'f', ...lines].join('\n');
}

/** Escapes a text for a PDF string. Characters outside ASCII become `?`. */
function escapedPdf(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').replace(/[\\()]/g, '\\$&');
}

function pt(mm: number): string {
  return String(Math.round(mm * point * 1000) / 1000);
}
