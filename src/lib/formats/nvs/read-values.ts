import type { RawEntry } from './read-page.js';
import { entryValue, type Say } from './read-value.js';
import { type NvsEntry, type NvsProblem, nvsNumbers, typeCodes } from './types.js';

export interface ReadValues {
  namespaces: string[];
  entries: NvsEntry[];
  problems: NvsProblem[];
}

/**
 * Values of entries, oldest page first: of one that is there twice the newer counts. Where a namespace's name is, may be
 * behind what is in it.
 */
export function readValues(raw: readonly RawEntry[]): ReadValues {
  const problems: NvsProblem[] = [];
  const say = ({ offset }: RawEntry, reason: string, at = 0) =>
    problems.push({ offset: offset + at, reason });
  const names = namesOf(raw, say);
  const values = new Map<string, NvsEntry>();
  const chunks = new Map<string, RawEntry>();
  const id = (entry: RawEntry, chunk = entry.chunk) => `${entry.namespace} ${chunk} ${entry.key}`;
  const used = new Set<RawEntry>();
  for (const entry of raw) {
    if (entry.type !== typeCodes.blobData || entry.namespace === 0) continue;
    if (chunks.has(id(entry))) say(entry, `the chunk ${entry.chunk} of ${entry.key} is there twice`);
    chunks.set(id(entry), entry);
  }
  for (const entry of raw) {
    if (entry.namespace === 0) continue;
    const namespace = names.get(entry.namespace);
    if (namespace === undefined) {
      say(entry, `${entry.key} is in namespace ${entry.namespace}, which has no name`);
      continue;
    }
    if (entry.type === typeCodes.blobData) continue;
    const parts = (count: number, start: number) =>
      Array.from({ length: count }, (_, i) => chunks.get(id(entry, start + i))).filter(
        (part) => part !== undefined,
      );
    const value = entryValue(entry, namespace, parts, used, say);
    if (value === null) continue;
    // Drivers look for a key and its type: of two types it is two values.
    const name = `${namespace} ${entry.key} ${value.type}`;
    if (values.has(name)) say(entry, `${namespace}.${entry.key} is there twice; the later counts`);
    values.set(name, value);
  }
  for (const part of chunks.values()) {
    if (!used.has(part) && names.has(part.namespace))
      say(part, `the chunk ${part.chunk} of ${part.key} belongs to no blob`);
  }
  const order = [...names].sort(([a], [b]) => a - b);
  return { namespaces: order.map(([, name]) => name), entries: [...values.values()], problems };
}

function namesOf(raw: readonly RawEntry[], say: Say): Map<number, string> {
  const names = new Map<number, string>();
  for (const entry of raw) {
    if (entry.namespace !== 0) continue;
    const index = entry.data[0]!;
    if (entry.type !== nvsNumbers.u8.code) say(entry, `expected the namespace ${entry.key} to be a u8`, 1);
    else if (index === 0 || index === 255)
      say(entry, `expected the index of namespace ${entry.key} to be 1 to 254, got ${index}`, 24);
    else if (names.has(index)) say(entry, `two namespaces have the index ${index}`, 24);
    else if ([...names.values()].includes(entry.key)) say(entry, `the namespace ${entry.key} is there twice`);
    else names.set(index, entry.key);
  }
  return names;
}
