import { writeFileSync } from 'node:fs';
import { getHeapStatistics } from 'node:v8';
import { AiotError } from '../src/lib/core/errors.js';
import type { Fault, Target } from './types.js';

const MiB = 1024 * 1024;
/** Maximum number of values that are examined in a result. */
const mostLooked = 2000;

const plain = [Object.prototype, Array.prototype, Function.prototype];
const own = () => plain.map((one) => Reflect.ownKeys(one).length).join();
const untouched = own();

/**
 * Runs a target on an input, and returns the problems. There are none if the target returned normally or rejected the input with
 * one of our error codes.
 */
export async function tried(target: Target, input: Buffer): Promise<{ fault: Fault | null; said: string }> {
  const given = Buffer.from(input);
  const before = memory();
  const resident = target.peakMiB === undefined ? 0 : forgetPeak();
  const began = performance.now();
  let fault: Fault | null = null;
  let said = 'returned';
  try {
    const result = target.run(given);
    const value = result instanceof Promise ? await result : result;
    const place = strange(value);
    if (place !== null)
      fault = {
        kind: 'prototype',
        key: 'prototype of a result',
        detail: `${place} has another object as its prototype`,
      };
  } catch (error) {
    said = told(error);
    fault = uncoded(error, target.throws ?? []);
  }
  const tookMs = performance.now() - began;
  const grown = memory() - before;
  if (own() !== untouched) {
    for (const one of plain) for (const key of Object.keys(one)) delete (one as Record<string, unknown>)[key];
    fault = { kind: 'prototype', key: 'prototype of everything', detail: 'Object.prototype was changed' };
  }
  const allowed = (target.memoryMiB ?? 64) * MiB + 512 * input.length;
  if (fault === null && grown > allowed)
    fault = {
      kind: 'memory',
      key: 'memory',
      detail: `${Math.round(grown / MiB)} MiB for ${input.length} bytes`,
    };
  const peak = target.peakMiB === undefined ? 0 : process.resourceUsage().maxRSS * 1024 - resident;
  if (fault === null && peak > (target.peakMiB ?? 0) * MiB)
    fault = {
      kind: 'memory',
      key: 'peak memory',
      detail: `a peak of ${Math.round(peak / MiB)} MiB more than before, for ${input.length} bytes`,
    };
  if (fault === null && tookMs > (target.timeMs ?? 1000))
    fault = { kind: 'hang', key: 'hang', detail: `${Math.round(tookMs)} ms for ${input.length} bytes` };
  return { fault, said };
}

/** Makes the kernel forget the peak of the resident set, so that the next one is this input's. Returns the present size, bytes. */
function forgetPeak(): number {
  try {
    writeFileSync('/proc/self/clear_refs', '5');
  } catch {
    // Only Linux can forget it. On other systems, an input has to exceed all previous ones.
  }
  return process.resourceUsage().maxRSS * 1024;
}

function memory(): number {
  const { used_heap_size, external_memory } = getHeapStatistics();
  return used_heap_size + external_memory;
}

function told(error: unknown): string {
  if (error instanceof AiotError) return `${error.code}: ${error.message}`;
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

function uncoded(error: unknown, allowed: readonly string[]): Fault | null {
  if (error instanceof AiotError && error.family !== 'bug') return null;
  if (error instanceof Error && (allowed.includes(error.name) || allowed.includes(error.constructor.name)))
    return null;
  const [, ...stack] = error instanceof Error ? (error.stack ?? '').split(/\n\s+at /) : [];
  const places = stack
    .map((line) => /dist\/\.fuzz\/(lib\/[^)]+)\)?$/.exec(line)?.[1])
    .filter((place) => place !== undefined);
  const where = places[0]?.replace(/:\d+$/, '') ?? stack[0] ?? '';
  const name = error instanceof Error ? error.constructor.name : typeof error;
  return {
    kind: 'error',
    key: `${name} ${where}`,
    detail: [told(error), ...places.slice(0, 6)].join('\n  at '),
  };
}

/** Path of a plain object in a result whose prototype is another plain object, as created by `object['__proto__'] = …`. */
function strange(value: unknown): string | null {
  const seen = new Set<unknown>();
  const queue: [unknown, string][] = [[value, 'the result']];
  for (const [each, place] of queue) {
    if (typeof each !== 'object' || each === null || seen.has(each) || ArrayBuffer.isView(each)) continue;
    if (seen.size >= mostLooked) return null;
    seen.add(each);
    const prototype = Object.getPrototypeOf(each);
    if (prototype !== null && !Object.hasOwn(prototype, 'constructor')) return place;
    const inside =
      each instanceof Map ? [...each.entries()].slice(0, 100) : Object.entries(each).slice(0, 100);
    for (const [key, one] of inside) queue.push([one, `${place}.${String(key).slice(0, 40)}`]);
  }
  return null;
}
