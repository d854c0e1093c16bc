/** esp_app_desc_t, the first 256 bytes of an application's first segment. Source: ESP-IDF, esp_app_desc.h. */
export interface AppDescription {
  project: string;
  version: string;
  /** Build date and time as the compiler wrote them: `Nov 20 2026 15:04:05`. */
  built: string;
  /** Version of ESP-IDF. */
  idf: string;
  /** SHA-256 of the ELF that it was made from, 64 hex digits. */
  elfSha256: string;
  /** Anti-rollback counter: a chip whose eFuses say more refuses the image. */
  secureVersion: number;
  /** Bytes of a page of the flash cache; null where the image does not say. */
  pageBytes: number | null;
}

/** esp_bootloader_desc_t, the first 80 bytes of a second-stage bootloader. Source: ESP-IDF, esp_bootloader_desc.h. */
export interface BootloaderDescription {
  version: number;
  idf: string;
  built: string;
}

export const appDescriptionBytes = 256;
const appMagic = 0xabcd5432;
const bootloaderBytes = 80;
const bootloaderMagic = 0x50;

/** null when the bytes are no application description. */
export function readAppDescription(data: Uint8Array): AppDescription | null {
  if (data.length < appDescriptionBytes) return null;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (view.getUint32(0, true) !== appMagic) return null;
  const page = view.getUint8(180);
  return {
    version: text(data, 16, 32),
    project: text(data, 48, 32),
    built: `${text(data, 96, 16)} ${text(data, 80, 16)}`.trim(),
    idf: text(data, 112, 32),
    elfSha256: Buffer.from(data.subarray(144, 176)).toString('hex'),
    secureVersion: view.getUint32(4, true),
    pageBytes: page === 0 || page > 31 ? null : 2 ** page,
  };
}

/** null when the bytes are no bootloader description; old bootloaders have none. */
export function readBootloaderDescription(data: Uint8Array): BootloaderDescription | null {
  if (data.length < bootloaderBytes || data[0] !== bootloaderMagic) return null;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return { version: view.getUint32(4, true), idf: text(data, 8, 32), built: text(data, 40, 24) };
}

/** NUL-padded; what cannot be printed is left out, since it comes from a file and goes to a terminal. */
function text(data: Uint8Array, offset: number, length: number): string {
  const field = Buffer.from(data.subarray(offset, offset + length));
  const end = field.indexOf(0);
  return field
    .subarray(0, end === -1 ? length : end)
    .toString('utf8')
    .replace(/[\p{Cc}\p{Cf}\ufffd]/gu, '')
    .trim();
}
