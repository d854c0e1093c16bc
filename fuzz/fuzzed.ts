import { seededRandom } from '../src/lib/core/numbers.js';
import { collectGarbage } from '../src/lib/core/process.js';
import { tried } from './judge.js';
import { minimized } from './minimize.js';
import { Mutator } from './mutate.js';
import type { Finding, Order, Target, TargetRun } from './types.js';

declare const __fuzz: Uint8Array;

/** Maps the hit count of a branch to one of eight buckets: 1, 2, 3, 4 to 7, 8 to 15, 16 to 31, 32 to 127, 128 or more. */
const bucket = Uint8Array.from({ length: 256 }, (_, n) =>
  n < 4 ? [0, 1, 2, 4][n]! : n < 8 ? 8 : n < 16 ? 16 : n < 32 ? 32 : n < 128 ? 64 : 128,
);

/**
 * Mutates examples of a target, retains inputs that reached new branches, and mutates those, until the time limit or the maximum
 * number of inputs is reached. The start time, length and bytes of the current input are stored in `running`, so that the supervisor
 * can identify an input that hangs.
 */
export async function fuzzed(
  target: Target,
  { seed, seconds, inputs: most, known }: Extract<Order, { do: 'fuzz' }>,
  running: SharedArrayBuffer,
  tell: (finding: Finding) => void,
): Promise<TargetRun> {
  const began = performance.now();
  const [state, shown] = [new Float64Array(running, 0, 2), Buffer.from(running, 16)];
  const longest = target.longest ?? 65_536;
  const random = seededRandom(seed);
  const mutator = new Mutator(random, target.words ?? [], longest);
  const seen = new Uint8Array(__fuzz.length);
  const found = new Set(known);
  const kept: Buffer[] = [];
  let inputs = 0;

  const take = async (input: Buffer) => {
    input.copy(shown);
    state[1] = input.length;
    __fuzz.fill(0);
    state[0] = Date.now();
    const { fault } = await tried(target, input);
    state[0] = 0;
    inputs++;
    if (isNew(seen)) kept.push(input);
    if (fault === null || found.has(fault.key)) return;
    // The fault must be reproducible; slowness caused by a busy machine is not. Garbage is collected first; if it were collected
    // during the run, it would hide the input's memory use.
    const shows = async (less: Buffer) => {
      // Collected twice, because buffers are freed only after the first collection.
      if (fault.kind === 'memory') for (let n = 0; n < 2; n++) collectGarbage();
      return (await tried(target, less)).fault?.key === fault.key;
    };
    if (!(await shows(input))) return;
    found.add(fault.key);
    const least = await minimized(input, shows);
    tell({ ...((await tried(target, least)).fault ?? fault), target: target.name, input: least });
  };

  for (const one of await target.seeds()) await take(Buffer.from(one as Uint8Array).subarray(0, longest));
  if (kept.length === 0) kept.push(Buffer.alloc(0));
  const end = performance.now() + seconds * 1000;
  while (inputs < most && performance.now() < end) {
    // Half of the time, picks from the newest quarter of the retained inputs.
    const pick = () =>
      kept[
        mutator.below(2) === 0
          ? kept.length - 1 - mutator.below(Math.ceil(kept.length / 4))
          : mutator.below(kept.length)
      ]!;
    const damaged = mutator.mutated(pick(), pick());
    await take(target.mend && mutator.below(2) === 0 ? target.mend(damaged) : damaged);
  }
  const reached = seen.reduce((sum, bits) => sum + (bits === 0 ? 0 : 1), 0);
  return {
    target: target.name,
    inputs,
    kept: kept.length,
    reached,
    seconds: (performance.now() - began) / 1000,
  };
}

/** Whether a new branch was reached, or a known one in a higher bucket. */
function isNew(seen: Uint8Array): boolean {
  const words = new Uint32Array(__fuzz.buffer, 0, __fuzz.length >> 2);
  let fresh = false;
  for (let word = 0; word < words.length; word++) {
    if (words[word] === 0) continue;
    for (let at = word * 4; at < word * 4 + 4; at++) {
      const bit = bucket[__fuzz[at]!]!;
      if ((seen[at]! & bit) === bit) continue;
      seen[at]! |= bit;
      fresh = true;
    }
  }
  return fresh;
}
