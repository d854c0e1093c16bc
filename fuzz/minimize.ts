/** Time limit for minimizing one input, ms. */
const patienceMs = 1500;

/**
 * Returns the smallest input found with the same problem. Parts are removed, halves first, while the problem remains; then bytes are
 * replaced with `0`.
 */
export async function minimized(input: Buffer, still: (less: Buffer) => Promise<boolean>): Promise<Buffer> {
  const end = performance.now() + patienceMs;
  let least = input;
  for (let size = Math.ceil(least.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < least.length; ) {
      if (performance.now() > end) return least;
      const less = Buffer.concat([least.subarray(0, at), least.subarray(at + size)]);
      if (await still(less)) least = less;
      else at += size;
    }
    if (size === 1) break;
  }
  for (let at = 0; at < least.length && performance.now() < end; at++) {
    if (least[at] === 0x30) continue;
    const plainer = Buffer.from(least);
    plainer[at] = 0x30;
    if (await still(plainer)) least = plainer;
  }
  return least;
}
