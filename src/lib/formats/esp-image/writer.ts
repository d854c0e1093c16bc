import { checksumOffset, checksumStart, xorChecksum } from './checksum.js';
import { hex } from './errors.js';
import { hashBytes, headerBytes, segmentHeaderBytes } from './header.js';
import { type Piece, unfit } from './pieces.js';

/** The ROM's loader cannot take a longer segment. */
const segmentLimit = 0x1000000;

/** SHA-256 of the ELF, for a place in the image that is left zero for it. */
export interface ElfHash {
  /** Offset in the image. */
  offset: number;
  hash: Uint8Array;
}

/** Collects an image's bytes: room for the header, then segment after segment, then the checksum. */
export class ImageWriter {
  /** Bytes so far. */
  length = headerBytes;
  segments = 0;
  hashPlaced = false;
  private readonly parts: Uint8Array[] = [new Uint8Array(headerBytes)];
  private checksum = checksumStart;

  constructor(private readonly elfHash: ElfHash | null) {}

  /** `counted` = in the checksum. @throws AIOT_IMAGE_MALFORMED (length) */
  segment({ address, data, name }: Piece, counted = true): void {
    if (data.length % 4 !== 0) {
      throw unfit(
        `${name} at ${hex(address, 8)} is ${data.length} bytes long once aligned, which is no multiple of 4`,
      );
    }
    if (data.length >= segmentLimit) throw unfit(`${name} at ${hex(address, 8)} has 16 MiB or more`);
    const header = new Uint8Array(segmentHeaderBytes);
    const view = new DataView(header.buffer);
    view.setUint32(0, address, true);
    view.setUint32(4, data.length, true);
    const placed = this.withElfHash(data, name);
    this.add(header);
    this.add(placed);
    if (counted) this.checksum = xorChecksum(placed, this.checksum);
    this.segments++;
  }

  addChecksum(): void {
    const row = new Uint8Array(checksumOffset(this.length) + 1 - this.length);
    row[row.length - 1] = this.checksum;
    this.add(row);
  }

  add(bytes: Uint8Array): void {
    this.parts.push(bytes);
    this.length += bytes.length;
  }

  bytes(): Uint8Array {
    return Buffer.concat(this.parts);
  }

  private withElfHash(data: Uint8Array, name: string): Uint8Array {
    if (this.elfHash === null) return data;
    const { offset, hash } = this.elfHash;
    const at = offset - this.length - segmentHeaderBytes;
    if (at < -segmentHeaderBytes || at >= data.length) return data;
    if (at < 0 || at + hashBytes > data.length) {
      throw unfit(
        `the ELF's SHA-256 at offset ${hex(offset)} would not lie within ${name}`,
        'Choose another offset.',
      );
    }
    if (data.subarray(at, at + hashBytes).some((byte) => byte !== 0)) {
      throw unfit(
        `at offset ${hex(offset)}, where the ELF's SHA-256 belongs, ${name} has other bytes than zeros`,
      );
    }
    const changed = Uint8Array.from(data);
    changed.set(hash, at);
    this.hashPlaced = true;
    return changed;
  }
}
