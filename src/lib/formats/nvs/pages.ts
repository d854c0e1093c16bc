import { entryCrc, headerCrc } from './crc.js';
import {
  type NvsVersion,
  nvsEntries,
  nvsEntryBytes,
  nvsFirstEntry,
  nvsPageBytes,
  nvsPageStates,
} from './types.js';

/** The 32 bytes that begin an entry; CRC and what is not given are filled in. */
export interface EntryHead {
  namespace: number;
  type: number;
  span: number;
  chunk: number;
  key: string;
  /** At most 8 bytes; the rest is 0xff. */
  data: Uint8Array;
}

/** Pages as they fill, one after the other. */
export class NvsPages {
  readonly pages: Buffer[] = [];
  /** Entries used in the last page. */
  used = 0;

  constructor(readonly version: NvsVersion) {
    this.open();
  }

  /** Closes the page and begins the next. */
  open(): void {
    this.pages.at(-1)?.writeUInt32LE(nvsPageStates.full, 0);
    const page = Buffer.alloc(nvsPageBytes, 0xff);
    page.writeUInt32LE(nvsPageStates.active, 0);
    page.writeUInt32LE(this.pages.length, 4);
    page[8] = this.version === 2 ? 0xfe : 0xff;
    page.writeUInt32LE(headerCrc(page), 28);
    this.pages.push(page);
    this.used = 0;
  }

  /** Entries left in the page. */
  get room(): number {
    return nvsEntries - this.used;
  }

  /** Head and data (whole entries, the end filled with 0xff), which the caller has found room for. */
  write(head: EntryHead, data: Uint8Array = new Uint8Array()): void {
    const entry = Buffer.alloc(nvsEntryBytes, 0xff);
    entry.set([head.namespace, head.type, head.span, head.chunk]);
    entry.fill(0, 8, 24);
    entry.write(head.key, 8, 16, 'utf8');
    entry.set(head.data, 24);
    entry.writeUInt32LE(entryCrc(entry), 4);
    this.put(entry);
    for (let at = 0; at < data.length; at += nvsEntryBytes) this.put(data.subarray(at, at + nvsEntryBytes));
  }

  private put(bytes: Uint8Array): void {
    const page = this.pages.at(-1)!;
    if (this.used >= nvsEntries) throw new RangeError('an NVS page is written past its end');
    page.set(bytes, nvsFirstEntry + this.used * nvsEntryBytes);
    // From empty (11) to written (10): the lower of its two bits.
    const bit = this.used * 2;
    page[32 + (bit >> 3)]! &= ~(1 << (bit & 7));
    this.used++;
  }
}
