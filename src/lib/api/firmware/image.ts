import { readProgram } from '../../formats/elf/read.js';
import { readEspImage } from '../../formats/esp-image/read.js';
import type { FirmwareVersion } from '../contract/releases.js';
import { bundleKind } from './bundle.js';

/** Properties of firmware, as read from its bytes. */
export interface FirmwareImage extends Pick<FirmwareVersion, 'chip' | 'app' | 'bundle'> {
  bootloader: boolean;
}

/** Reads an application image of a chip, a program for a computer, or a bundle of an update client. @throws AIOT_IMAGE_MALFORMED */
export function readFirmware(bytes: Uint8Array, what: string): FirmwareImage {
  if (readProgram(bytes) !== null) return { chip: null, app: null, bootloader: false };
  const bundle = bundleKind(bytes);
  if (bundle !== null) return { chip: null, app: null, bootloader: false, bundle };
  const { chip, app, kind } = readEspImage(bytes, what);
  const told = app && { project: app.project, version: app.version, built: app.built, idf: app.idf };
  return { chip, app: told, bootloader: kind === 'bootloader' };
}
