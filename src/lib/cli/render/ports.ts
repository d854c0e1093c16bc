import type { PortInfo } from '../../flash/port/list.js';
import { dim, red, yellow } from './style.js';
import { table } from './text.js';

/** The ports of this machine as people read them. */
export function portsTable(ports: readonly PortInfo[]): string {
  const rows = ports.map((port) => [
    port.path,
    port.usb ? `${port.usb.vendorId}:${port.usb.productId}` : null,
    port.usb?.serialNumber ?? null,
    port.adapter ??
      (port.board ? port.product : dim(port.kind === 'onboard' ? 'on the board itself' : port.kind)),
    likely(port),
    state(port),
  ]);
  return table(
    ['port', 'vid:pid', 'serial number', 'adapter', 'likely chip', 'state'],
    rows,
    'No serial ports.',
  );
}

function likely({ board, adapter, chips }: PortInfo): string | null {
  if (!board || !adapter) return null;
  return chips.length === 0 ? 'any' : chips.map(title).join(', ');
}

/** `esp32s3` → `ESP32-S3` */
const title = (chip: string) => chip.toUpperCase().replace(/^ESP32(?=.)/, 'ESP32-');

function state({ access, group, busy, holders }: PortInfo): string {
  const by = holders.map(({ name, pid }) => `${name}, pid ${pid}`).join('; ');
  if (access === 'denied') return red(`not allowed${group ? `: group ${group}` : ''}`);
  if (busy) return yellow(`busy: ${by}`);
  return access === 'unknown' && busy === null ? dim('not known') : 'free';
}
