import { hasCode } from '../../core/errors.js';
import { hex } from '../../core/figures.js';
import { malformed } from '../image-errors.js';
import {
  type ChipName,
  type FlashFrequency,
  type FlashMode,
  type FlashSize,
  flashModes,
  flashSizes,
  frequencyName,
} from './chips.js';
import {
  checksumOffset,
  checksumStart,
  hashBytes,
  headerBytes,
  type ImageHeader,
  readHeader,
  segmentHeaderBytes,
  sha256,
  xorChecksum,
} from './header.js';
import { isMapped, type MemoryType, memoryTypes } from './memory.js';

export interface ImageSegment {
  /** Address on the chip. 0 marks padding, which is not loaded. */
  address: number;
  /** File offset of the segment's data. The segment's header is in the 8 bytes before the data. */
  offset: number;
  length: number;
  memory: MemoryType[];
}

/** Contents of an image. Only `readEspImage` creates this object, so the image's checksum and hash are valid. */
export interface EspImage {
  chip: ChipName;
  /**
   * `app`: a second-stage bootloader maps the image from flash. `bootloader`: the image has only RAM segments, so the ROM itself can load
   * it. Such an image is a second-stage bootloader, or a small program that replaces one.
   */
  kind: 'app' | 'bootloader';
  mode: FlashMode;
  /** null = the code in the header is undefined. */
  size: FlashSize | null;
  frequency: FlashFrequency | null;
  entry: number;
  /** Supported chip revisions, such as `1.3`; null = any. */
  revisions: { minimum: string | null; maximum: string | null };
  segments: ImageSegment[];
  checksum: number;
  /** Appended SHA-256, 64 hex digits; null if the image has none. */
  hash: string | null;
  /** Size of the image including its hash, but without trailing bytes in the file (padding, a signature, a merged flash). */
  length: number;
  header: ImageHeader;
  app: AppDescription | null;
  bootloader: BootloaderDescription | null;
}

/**
 * Reads an image from the start of `bytes` and ignores trailing bytes. `what` is the image's name in errors.
 * Layout: ESP-IDF, "App Image Format": header, segments, XOR checksum at the end of a row of 16, SHA-256.
 * @throws AIOT_IMAGE_MALFORMED with the offset and the reason
 */
export function readEspImage(bytes: Uint8Array, what = 'image'): EspImage {
  const header = readHeader(bytes, what);
  const mode = flashModes[header.mode];
  if (mode === undefined) throw malformed(what, 2, `unknown flash mode ${header.mode}`);
  const segments = readSegments(bytes, header, what);
  const end = checkChecksum(bytes, segments, what);
  const length = checkHash(bytes, header, end, what);
  const first = segments.find(({ address }) => address !== 0);
  const data = (segment: ImageSegment) => bytes.subarray(segment.offset, segment.offset + segment.length);
  const mapped = segments.some(({ address }) => isMapped(header.chip, address));
  const oldest = header.minRevision || header.minRevisionOld * (header.chip === 'esp32c3' ? 1 : 100);
  return {
    chip: header.chip,
    kind: mapped ? 'app' : 'bootloader',
    mode,
    size: flashSizes[header.size] ?? null,
    frequency: frequencyName(header.chip, header.frequency),
    entry: header.entry,
    revisions: {
      minimum: oldest === 0 ? null : revision(oldest),
      maximum:
        header.maxRevision === 0 || header.maxRevision === 0xffff ? null : revision(header.maxRevision),
    },
    segments,
    checksum: bytes[end - 1] ?? 0,
    hash: header.hashAppended
      ? Buffer.from(bytes.subarray(length - hashBytes, length)).toString('hex')
      : null,
    length,
    header,
    app: first === undefined ? null : readAppDescription(data(first)),
    bootloader: first === undefined || mapped ? null : readBootloaderDescription(data(first)),
  };
}

/** Number of bytes at the start of an image that `readImageStart` needs. */
export const imageStartBytes = headerBytes + segmentHeaderBytes + 256;

/**
 * Reads the header and the description of an image when only its start is available, as for an image in a board's flash. Unlike
 * `readEspImage`, this cannot check the image.
 * @param bytes at least `imageStartBytes` @returns null if no image starts here
 */
export function readImageStart(
  bytes: Uint8Array,
):
  | (Pick<EspImage, 'chip' | 'size' | 'frequency' | 'app' | 'bootloader'> & { mode: FlashMode | null })
  | null {
  let header: ImageHeader;
  try {
    header = readHeader(bytes, 'image');
  } catch (error) {
    if (hasCode(error, 'AIOT_IMAGE_MALFORMED')) return null;
    throw error;
  }
  const data = bytes.subarray(headerBytes + segmentHeaderBytes);
  return {
    chip: header.chip,
    mode: flashModes[header.mode] ?? null,
    size: flashSizes[header.size] ?? null,
    frequency: frequencyName(header.chip, header.frequency),
    app: readAppDescription(data),
    bootloader: readBootloaderDescription(data),
  };
}

/** Formats a chip revision: 103 → `1.3`. */
function revision(value: number): string {
  return `${Math.floor(value / 100)}.${value % 100}`;
}

function readSegments(bytes: Uint8Array, header: ImageHeader, what: string): ImageSegment[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const segments: ImageSegment[] = [];
  let at = headerBytes;
  for (let index = 0; index < header.segments; index++) {
    const name = `segment ${index} of ${header.segments}`;
    if (at + segmentHeaderBytes > bytes.length) {
      throw malformed(what, bytes.length, `the file ends before the header of ${name} at ${hex(at)}`);
    }
    const address = view.getUint32(at, true);
    const length = view.getUint32(at + 4, true);
    const offset = at + segmentHeaderBytes;
    if (length % 4 !== 0) {
      throw malformed(what, at + 4, `${name} has ${length} bytes, which is not a multiple of 4`);
    }
    if (offset + length > bytes.length) {
      const missing = offset + length - bytes.length;
      throw malformed(
        what,
        bytes.length,
        `the file ends ${missing} bytes before the end of ${name} (${hex(address, 8)}, ${length} bytes)`,
      );
    }
    segments.push({ address, offset, length, memory: memoryTypes(header.chip, address) });
    at = offset + length;
  }
  return segments;
}

/** Checks the checksum and returns the offset after it. */
function checkChecksum(bytes: Uint8Array, segments: readonly ImageSegment[], what: string): number {
  const last = segments.at(-1);
  const at = checksumOffset(last === undefined ? headerBytes : last.offset + last.length);
  const stored = bytes[at];
  if (stored === undefined) {
    throw malformed(what, bytes.length, `the file ends before its checksum at ${hex(at)}`);
  }
  let computed = checksumStart;
  for (const { offset, length } of segments)
    computed = xorChecksum(bytes.subarray(offset, offset + length), computed);
  if (computed !== stored) {
    throw malformed(
      what,
      at,
      `the checksum is ${hex(stored, 2)}, but the checksum of the segments is ${hex(computed, 2)}`,
    );
  }
  return at + 1;
}

/** Checks the appended hash, if the image has one, and returns the offset after the image. */
function checkHash(bytes: Uint8Array, header: ImageHeader, end: number, what: string): number {
  const stored = bytes.subarray(end, end + hashBytes);
  if (!header.hashAppended) {
    // The hash covers the flag byte itself. If the hash matches once the flag is set again, the flag was cleared.
    const restored = Uint8Array.from(bytes.subarray(0, end));
    restored[23] = 1;
    if (stored.length === hashBytes && Buffer.compare(sha256(restored), stored) === 0) {
      throw malformed(
        what,
        23,
        'the header states that no SHA-256 follows, but a matching SHA-256 is present: the header byte is damaged',
      );
    }
    return end;
  }
  if (stored.length < hashBytes) {
    throw malformed(
      what,
      bytes.length,
      `the file ends before the end of its SHA-256 at ${hex(end + hashBytes)}`,
    );
  }
  const computed = Buffer.from(sha256(bytes.subarray(0, end)));
  if (computed.compare(stored) !== 0) {
    const short = (hash: Uint8Array) => `${Buffer.from(hash).toString('hex').slice(0, 16)}…`;
    throw malformed(
      what,
      end,
      `the SHA-256 is ${short(stored)}, but the SHA-256 of the preceding bytes is ${short(computed)}`,
    );
  }
  return end + hashBytes;
}

/** esp_app_desc_t, the first 256 bytes in an application's first segment. Source: ESP-IDF, esp_app_desc.h. */
export interface AppDescription {
  project: string;
  version: string;
  /** Build date and time as written by the compiler: `Nov 20 2026 15:04:05`. */
  built: string;
  /** Version of ESP-IDF. */
  idf: string;
  /** SHA-256 of the source ELF, 64 hex digits. */
  elfSha256: string;
  /** Anti-rollback counter: a chip with a higher value in its eFuses rejects the image. */
  secureVersion: number;
  /** Page size of the flash cache, bytes; null if the description does not contain it. */
  pageBytes: number | null;
}

/** esp_bootloader_desc_t, the first 80 bytes in a second-stage bootloader. Source: ESP-IDF, esp_bootloader_desc.h. */
export interface BootloaderDescription {
  version: number;
  idf: string;
  built: string;
}

const appDescriptionBytes = 256;
const appMagic = 0xabcd5432;
const bootloaderBytes = 80;
const bootloaderMagic = 0x50;

/** Parses an application description; null if the bytes are something else. */
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

/** Parses a bootloader description. Returns null if the bytes are something else, as in old bootloaders, which have no description. */
function readBootloaderDescription(data: Uint8Array): BootloaderDescription | null {
  if (data.length < bootloaderBytes || data[0] !== bootloaderMagic) return null;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return { version: view.getUint32(4, true), idf: text(data, 8, 32), built: text(data, 40, 24) };
}

/** Reads NUL-padded text. Removes unprintable characters, because the text comes from a file and is printed to a terminal. */
function text(data: Uint8Array, offset: number, length: number): string {
  const field = Buffer.from(data.subarray(offset, offset + length));
  const end = field.indexOf(0);
  return field
    .subarray(0, end === -1 ? length : end)
    .toString('utf8')
    .replace(/[\p{Cc}\p{Cf}\ufffd]/gu, '')
    .trim();
}
