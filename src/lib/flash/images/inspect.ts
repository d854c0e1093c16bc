import { AiotError, readBytes, sha256Hex } from '../../core/index.js';
import {
  type ByteRegion,
  elfUsage,
  isMapped,
  partitionTableBytes,
  partitionTableOffset,
  readEspImage,
} from '../../formats/index.js';
import { looksLike, looksLikeTable } from '../plan/looks.js';
import { contentsOf, type FileFormat } from './contents.js';
import { flashParts, otadataPart } from './flash-parts.js';
import { describe } from './info.js';
import type { Inspected } from './inspect-schema.js';
import { tableOf } from './partitions.js';
import { imageSignature } from './signature.js';

type Told = Partial<Inspected> & Pick<Inspected, 'kind'>;

/**
 * Says what a firmware file is, by its contents and not its name, and checks it.
 * @throws AIOT_IMAGE_MALFORMED (damaged, or nothing of ours), AIOT_PARTITIONS_MALFORMED, AIOT_BUNDLE_MALFORMED, AIOT_FILE_NOT_FOUND
 */
export async function inspectFirmware(file: string): Promise<Inspected> {
  const bytes = await readBytes(file);
  const nothing = {
    use: null,
    signed: null,
    elf: null,
    image: null,
    partitions: null,
    parts: [],
    bundle: null,
  };
  return { ...nothing, file, bytes: bytes.length, sha256: sha256Hex(bytes), ...(await tell(bytes, file)) };
}

async function tell(bytes: Uint8Array, file: string): Promise<Told> {
  const { format, regions } = contentsOf(bytes, file);
  if (format === 'elf') return tellElf(bytes, file);
  if (regions !== null) return tellRegions(regions, format, file);
  if (looksLikeTable(bytes)) return tellTable(bytes, file);
  if (isFlash(bytes)) return tellFlash([{ offset: 0, data: bytes }], file);
  if (format === 'image') return tellImage({ offset: 0, data: bytes }, format, file);
  if (latin1(bytes, 257, 262) === 'ustar') return await tellBundle(bytes);
  const otadata = otadataPart(bytes);
  if (otadata !== null) return { kind: 'flash', parts: [otadata] };
  throw new AiotError('AIOT_IMAGE_MALFORMED', `${file}: ${strange(bytes)}`, {
    next: /TFL3/.test(latin1(bytes, 4, 8))
      ? `It is a network: aiot model inspect ${file}`
      : 'Known are ELF files, ESP32 images (.bin, .hex, .uf2), merged or read-out flash, partition tables and bundles (.aiot).',
  });
}

function tellElf(bytes: Uint8Array, file: string): Told {
  const { memory, ...elf } = elfUsage(bytes, file);
  return { kind: 'elf', elf, use: memory };
}

function tellTable(bytes: Uint8Array, file: string): Told {
  return { kind: 'partition-table', partitions: tableOf(bytes.subarray(0, partitionTableBytes), file) };
}

function tellImage(region: ByteRegion, format: FileFormat, file: string): Told {
  const read = readEspImage(region.data, file);
  const signature = imageSignature(region.data, read);
  const ram = read.segments
    .filter(({ address }) => address !== 0 && !isMapped(read.chip, address))
    .reduce((sum, { length }) => sum + length, 0);
  return {
    kind: 'image',
    image: describe(file, format, region),
    use: { flash: read.length, ram },
    signed: signature && { ...signature, keyids: [] },
  };
}

/** HEX and UF2 files say themselves what lies where. */
function tellRegions(regions: readonly ByteRegion[], format: FileFormat, file: string): Told {
  const [only, ...more] = regions;
  if (only !== undefined && more.length === 0 && only.data[0] === 0xe9 && !isFlash(only.data))
    return tellImage(only, format, file);
  return tellFlash(regions, file);
}

function tellFlash(regions: readonly ByteRegion[], file: string): Told {
  const { table, parts } = flashParts(regions, file);
  if (parts.length > 0) return { kind: 'flash', partitions: table, parts };
  throw new AiotError('AIOT_IMAGE_MALFORMED', `${file}: it holds neither an image nor a partition table`);
}

async function tellBundle(bytes: Uint8Array): Promise<Told> {
  // Its room is large, and other firmware needs nothing of it.
  const { describeBundle } = await import('../../model/index.js');
  const { keyids, ...bundle } = describeBundle(bytes);
  const signed = keyids.length > 0 ? { scheme: 'release' as const, hashRight: null, keyids } : null;
  return { kind: 'bundle', bundle, signed };
}

/** A whole flash: a table where it belongs, or images where the chips look for them and none at the start. */
function isFlash(bytes: Uint8Array): boolean {
  if (looksLikeTable(bytes.subarray(partitionTableOffset))) return true;
  if (bytes[0] === 0xe9) return false;
  return [0x1000, 0x2000, 0x10000].some((offset) => looksLike(bytes.subarray(offset)) !== null);
}

function strange(bytes: Uint8Array): string {
  if (bytes.length === 0) return 'the file is empty';
  const start = Buffer.from(bytes.subarray(0, 4))
    .toString('hex')
    .replace(/(..)(?=.)/g, '$1 ');
  return `this is no firmware: it begins with ${start}`;
}

function latin1(bytes: Uint8Array, from: number, to: number): string {
  return Buffer.from(bytes.subarray(from, to)).toString('latin1');
}
