// Tar files (POSIX.1-1988 ustar) like those of a backup. They are written, split into entries even if damaged, and repaired.
import { createHash } from 'node:crypto';

const block = 512;

export interface Entry {
  name: string;
  content: Buffer;
}

export function tarOf(entries: readonly Entry[]): Buffer {
  const parts = entries.flatMap(({ name, content }) => {
    const head = Buffer.alloc(block);
    head.write(name, 0, 100);
    head.write('0000600\0', 100);
    head.write(`${content.length.toString(8).padStart(11, '0')}\0`, 124);
    head.write('00000000000\0', 136);
    head.write('0', 156);
    head.write('ustar\x0000', 257);
    sum(head);
    return [head, content, Buffer.alloc(-content.length & (block - 1))];
  });
  return Buffer.concat([...parts, Buffer.alloc(2 * block)]);
}

/** The checksum of a header: the sum of its bytes, with its own field counted as blanks. */
function sum(head: Buffer): void {
  head.fill(' ', 148, 156);
  const total = head.reduce((all, byte) => all + byte, 0);
  head.write(`${total.toString(8).padStart(6, '0')}\0 `, 148);
}

/** Returns the entries up to the first invalid header. Corrects each header's checksum in place. */
export function entriesOf(tar: Buffer): Entry[] {
  const entries: Entry[] = [];
  for (let at = 0; at + block <= tar.length; ) {
    const head = tar.subarray(at, at + block);
    if (head[0] === 0) break;
    sum(head);
    const [name = ''] = head.toString('latin1', 0, 100).split('\0');
    const bytes = Number.parseInt(head.toString('latin1', 124, 136), 8);
    if (!(bytes >= 0)) break;
    entries.push({ name, content: tar.subarray(at + block, at + block + bytes) });
    at += block + Math.ceil(bytes / block) * block;
  }
  return entries;
}

export const sha256 = (content: Buffer) => `sha256:${createHash('sha256').update(content).digest('hex')}`;
