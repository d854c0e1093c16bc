import { readEspImage, readProgram } from '../../formats/index.js';
import type { FirmwareVersion } from '../firmware-api.js';

/** What firmware says of itself. */
export interface FirmwareImage extends Pick<FirmwareVersion, 'chip' | 'app'> {
  bootloader: boolean;
}

/** An application image of a chip, or a program of a computer. @throws AIOT_IMAGE_MALFORMED */
export function readFirmware(bytes: Uint8Array, what: string): FirmwareImage {
  if (readProgram(bytes) !== null) return { chip: null, app: null, bootloader: false };
  const { chip, app, kind } = readEspImage(bytes, what);
  const told = app && { project: app.project, version: app.version, built: app.built, idf: app.idf };
  return { chip, app: told, bootloader: kind === 'bootloader' };
}
