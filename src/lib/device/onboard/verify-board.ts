import { join } from 'node:path';
import { unless } from '../../core/errors.js';
import { readBytes } from '../../core/files.js';
import { openLoader } from '../../flash/loader/open-loader.js';
import type { LoaderOptions } from '../../flash/loader/types.js';
import { openLine } from '../../flash/port/open-line.js';
import { returnMs } from '../../flash/port/returning-line.js';
import type { Birth } from '../../formats/manifest/birth.js';
import type { Found } from '../../provision/birth.js';
import { imageNames } from '../../provision/chip-image.js';

/** Reads the parts of a board that its birth certificate covers. NVS is excluded, because the device changes it. */
export async function foundOnBoard(port: string, options: LoaderOptions, birth: Birth): Promise<Found> {
  const { signal } = options;
  const loader = await openLoader(
    await openLine(port, { baud: 115_200, returnMs, ...(signal && { signal }) }),
    options,
  );
  const images = new Map<string, Uint8Array>();
  try {
    for (const { name, offset, bytes } of birth.images)
      if (name === 'partitions' && offset !== null) images.set(name, await loader.read(offset, bytes));
  } finally {
    await loader.end().catch(() => {});
  }
  const { chip, mac } = loader.chip;
  return { chip: { name: chip, mac }, images };
}

/** Reads all image files listed in the birth certificate, from the folder into which the device was provisioned. */
export async function foundInFolder(folder: string, birth: Birth): Promise<Found> {
  const images = new Map<string, Uint8Array>();
  const names: Record<string, string> = imageNames;
  for (const { name } of birth.images) {
    const bytes = await unless('AIOT_FILE_NOT_FOUND', readBytes(join(folder, names[name] ?? name)));
    images.set(name, bytes ?? new Uint8Array());
  }
  return { images };
}
