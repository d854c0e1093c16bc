import { AiotError } from '../../core/index.js';
import { labelContent, layoutLabel } from './layout.js';
import { labelsPdf } from './pdf.js';
import { labelsSvg } from './svg.js';
import type { LabelDevice, LabelFormat } from './types.js';

/**
 * Labels of 50 × 25 mm with name, type, id, MAC, chip id, the certificate's beginning and a QR code: an SVG of all below each
 * other (a roll), or a PDF of A4 sheets. Nothing on them is secret.
 * @throws AIOT_USAGE for no device
 */
export async function deviceLabels(
  devices: readonly LabelDevice[],
  format: LabelFormat,
): Promise<Uint8Array> {
  if (devices.length === 0)
    throw new AiotError('AIOT_USAGE', 'expected a device to print a label for, got none');
  const { default: encodeQR } = await import('qr');
  const layouts = devices.map((device) =>
    layoutLabel(device, encodeQR(labelContent(device), 'raw', { ecc: 'medium', border: 4 })),
  );
  return format === 'pdf' ? labelsPdf(layouts) : Buffer.from(labelsSvg(layouts));
}

/** The format of a file of labels by its name. @throws AIOT_USAGE */
export function labelFormatOf(file: string): LabelFormat {
  const [, ending] = /\.(svg|pdf)$/i.exec(file) ?? [];
  if (ending) return ending.toLowerCase() === 'pdf' ? 'pdf' : 'svg';
  throw new AiotError('AIOT_USAGE', `expected a file of labels to end with .svg or .pdf, got ${file}`);
}
