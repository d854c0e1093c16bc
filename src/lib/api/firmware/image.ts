import { highestSecureVersion } from '../../formats/efuse.js';
import { readProgram } from '../../formats/elf/read.js';
import { readEspImage } from '../../formats/esp-image/read.js';
import type { FirmwareVersion } from '../contract/releases.js';
import { bundleKind } from './bundle.js';

/** Properties of firmware, as read from its bytes. */
export interface FirmwareImage extends Pick<FirmwareVersion, 'chip' | 'app' | 'bundle'> {
  bootloader: boolean;
  /** Anti-rollback version in an app's description; absent = the format has none. */
  secureVersion?: number;
  /** SHA-256 of the ELF file from which an app was made, in hex; absent = the format has none. */
  elfSha256?: string;
}

/** Reads an application image of a chip, a program for a computer, or a bundle of an update client. @throws AIOT_IMAGE_MALFORMED */
export function readFirmware(bytes: Uint8Array, what: string): FirmwareImage {
  if (readProgram(bytes) !== null) return { chip: null, app: null, bootloader: false };
  const bundle = bundleKind(bytes);
  if (bundle !== null) return { chip: null, app: null, bootloader: false, bundle };
  const { chip, app, kind } = readEspImage(bytes, what);
  const told = app && { project: app.project, version: app.version, built: app.built, idf: app.idf };
  // A version that the chip's fuses cannot hold is no secure version: no chip could require it.
  const secureVersion = app && app.secureVersion <= highestSecureVersion(chip) ? app.secureVersion : 0;
  const ofApp = app ? { secureVersion, elfSha256: app.elfSha256 } : {};
  return { chip, app: told, bootloader: kind === 'bootloader', ...ofApp };
}
