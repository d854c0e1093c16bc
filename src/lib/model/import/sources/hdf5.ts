import type { Dataset, File, Group } from 'jsfive';
import { AiotError } from '../../../core/index.js';
import { malformed } from '../errors.js';
import type { Weight } from '../keras/types.js';

export type { Group } from 'jsfive';

/** An HDF5 file, opened in memory. @throws AIOT_FILE_MALFORMED */
export async function openHdf5(bytes: Uint8Array): Promise<File> {
  const hdf5 = await import('jsfive');
  return guarded('it cannot be read as HDF5', () => {
    // A copy: Buffers of small files share one block of memory.
    return new hdf5.File(new Uint8Array(bytes).buffer, 'model');
  });
}

/** A group or dataset by its name, or undefined. */
export function childOf(group: Group, name: string): Group | Dataset | undefined {
  return keysOf(group).includes(name) ? nodeOf(group, name) : undefined;
}

/** The names in a group. */
export function keysOf(group: Group): string[] {
  return guarded('its groups cannot be read', () => group.keys);
}

export function nodeOf(group: Group, name: string): Group | Dataset {
  return guarded(`${name} in it cannot be read`, () => group.get(name));
}

export function isGroup(node: Group | Dataset | undefined): node is Group {
  // A dataset has a method of this name.
  return (
    node !== undefined && Array.isArray(guarded('its groups cannot be read', () => (node as Group).keys))
  );
}

/** A group may be in itself, by any number of names: how deep groups lie in one another, and how many of a file are looked at. */
const deepest = 16;
const mostNodes = 3000;

/** All datasets below a group, with the names that lead to them. @throws AIOT_FILE_MALFORMED */
export function* datasetsIn(
  group: Group,
  path: string[] = [],
  seen = { nodes: 0 },
): Generator<{ path: string[]; dataset: Dataset }> {
  if (path.length > deepest) throw malformed(`its groups lie more than ${deepest} deep in one another`);
  for (const name of keysOf(group)) {
    seen.nodes++;
    if (seen.nodes > mostNodes) throw malformed(`there are more than ${mostNodes} groups and arrays in it`);
    const node = nodeOf(group, name);
    if (isGroup(node)) yield* datasetsIn(node, [...path, name], seen);
    else yield { path: [...path, name], dataset: node };
  }
}

/** @throws AIOT_FILE_MALFORMED */
export function weightOf(dataset: Dataset, name: string): Weight {
  return guarded(`the weights ${name} cannot be read`, () => {
    const { shape, value } = dataset;
    const data = Float32Array.from(value as ArrayLike<number>);
    if (data.length !== shape.reduce((a, b) => a * b, 1))
      throw new Error(`${data.length} numbers for [${shape}]`);
    return { shape: [...shape], data };
  });
}

/** The text of an attribute, as h5py and Keras write it. */
export function textAttribute(group: Group, name: string): string | undefined {
  const value = guarded(`its attribute ${name} cannot be read`, () => group.attrs[name]);
  const [text] = [value].flat();
  return typeof text === 'string' ? text : undefined;
}

/** What the library does, without what it says: it writes names that are in the file to the console as they are. */
function guarded<T>(what: string, work: () => T): T {
  const { warn } = console;
  console.warn = () => {};
  try {
    return work();
  } catch (cause) {
    if (cause instanceof AiotError) throw cause;
    // Some of what the library throws has no message.
    const why = cause instanceof Error && cause.message ? cause.message : 'it is damaged or cut off';
    throw malformed(`${what}: ${why}`, cause);
  } finally {
    console.warn = warn;
  }
}
