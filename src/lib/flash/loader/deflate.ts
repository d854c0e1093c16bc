import { promisify } from 'node:util';
import { constants, createInflate, deflate } from 'node:zlib';

const cache = new WeakMap<Uint8Array, Promise<Uint8Array>>();

/** zlib stream of the highest level; computed once for bytes that go to several boards. Do not change `data` afterwards. */
export function deflated(data: Uint8Array): Promise<Uint8Array> {
  const known = cache.get(data);
  if (known) return known;
  const made = promisify(deflate)(data, { level: constants.Z_BEST_COMPRESSION });
  cache.set(data, made);
  return made;
}

/** How many bytes the stream has grown to after each block: the chip writes as much, which tells how long it may take. */
export async function inflatedAfter(blocks: readonly Uint8Array[]): Promise<number[]> {
  const inflate = createInflate();
  let total = 0;
  inflate.on('data', (bytes: Uint8Array) => {
    total += bytes.length;
  });
  const after: number[] = [];
  for (const block of blocks) {
    await new Promise<void>((resolve, reject) => {
      inflate.once('error', reject);
      inflate.write(block, (error) => (error ? reject(error) : resolve()));
    });
    inflate.removeAllListeners('error');
    after.push(total);
  }
  inflate.destroy();
  return after;
}
