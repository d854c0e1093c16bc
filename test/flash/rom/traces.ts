import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { SimulatedChipOptions } from '../../../src/lib/flash/rom/chip.js';
import { readTrace } from './trace.js';

/** Traces of real ROMs in a folder; traces with a simulated chip were recorded only for the host's side. */
export function realTraces(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.jsonl') && !name.includes('simulated'))
    .map((name) => join(folder, name));
}

/**
 * The simulated chip in the state of a trace's emulated chip, with its straps, its flash, and its one known
 * crash.
 */
export function chipFor(path: string): { chip: 'esp32' | 'esp32c3'; options: Partial<SimulatedChipOptions> } {
  const name = basename(path);
  const chip = name.startsWith('esp32c3') ? 'esp32c3' : 'esp32';
  const boots = /no-sync|rom-boot/.test(name);
  const joint = /joint|guru/.test(name);
  const options: Partial<SimulatedChipOptions> = {
    boot: boots ? 'run' : joint ? 'download' : 'uart',
    ...(boots && chip === 'esp32' ? { strap: 0x12 } : {}),
    ...(name.includes('guru') ? { faults: [{ kind: 'panic' }] } : {}),
    ...(name.includes('boot-app') ? bootedImage : {}),
  };
  return { chip, options };
}

/** The header of an image with the two segments that the C3's ROM loaded, and its program's output. */
const bootedImage: Partial<SimulatedChipOptions> = {
  flash: (() => {
    const bytes = Buffer.alloc(4 * 2 ** 20, 0xff);
    bytes.set([0xe9, 2, 2, 0x2f]);
    bytes.writeUInt32LE(0x40380000, 4);
    bytes.writeUInt32LE(0x3fc90000, 24);
    bytes.writeUInt32LE(0x24, 28);
    bytes.writeUInt32LE(0x40380000, 32 + 0x24);
    bytes.writeUInt32LE(0x88, 36 + 0x24);
    return bytes;
  })(),
  program: async ({ print }) => {
    print('AIOT-C3 boot ok sum=338350\r\ntick 0\r\ntick 1\r\ntick 2\r\n');
  },
};

export { readTrace };
