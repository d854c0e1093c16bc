import type { settingsStates } from '../api/fields.js';
import { canonicalJson, digestOf } from '../core/crypto.js';
import { AiotError } from '../core/errors.js';
import { compileSchema, type Violation } from './command.js';

/**
 * Settings that a project defines for a type of devices, as a JSON Schema. A device's settings are the schema's defaults, overridden by
 * its groups, and by the device itself. See docs/background/decisions/037-device-settings.md for the reasons.
 */

type Values = Record<string, unknown>;

/** Overrides of some settings, for a group or for one device. */
export interface SettingsLayer {
  /** Displayed as the origin of a value, such as `group lab`. */
  from: string;
  /** A layer with a higher priority overrides the others; layers of equal priority apply in the order of their names. */
  priority: number;
  values: Values;
}

/** The settings that a device should have. */
export interface DesiredSettings {
  values: Values;
  /** SHA-256 of the values in canonical JSON. A device reports it after it has applied the values. */
  digest: string;
  /** The layer of each value, by its path, such as `report.everyS`; `default` = the schema's. */
  origins: Record<string, string>;
}

/** Settings as reported by a device. `digest`: digest of the settings that it applied last; null = none. */
export interface SettingsReport {
  digest: string | null;
  /** Absent = the device reports only the digest. */
  values?: Values | undefined;
  /** Why the device did not apply the settings with this digest. */
  error?: { digest: string; code: string; message: string } | null | undefined;
}

/** The states are described in api/contract/settings.ts. */
export interface SettingsDrift {
  state: (typeof settingsStates)[number];
  /** The differing values, by path; empty if the device reports only a digest. An absent value is undefined. */
  differences: { path: string; desired: unknown; reported: unknown }[];
}

/** How long an online device may take to apply and report settings, ms. */
export const settingsPatienceMs = 30_000;
/** Maximum size of a device's settings, bytes of JSON. A chip's MQTT client receives messages of up to 4096 bytes. */
export const mostSettingsBytes = 2048;

export interface CompiledSettings {
  /** The settings of a device with these layers, or the first invalid value. */
  resolve(layers: readonly SettingsLayer[]): DesiredSettings | { problem: Violation };
}

/** Compiled schemas by their type and text, because compiling takes milliseconds. */
const compiled = new Map<string, CompiledSettings>();
const mostCompiled = 200;

/**
 * Compiles the settings of a type. Settings must not contain secrets (`writeOnly`), because devices report them, and every user may read
 * them.
 * @throws AIOT_SETTINGS_SCHEMA
 */
export async function compileProjectSettings(type: string, schema: Values): Promise<CompiledSettings> {
  const text = JSON.stringify(schema);
  const key = `${type} ${text}`;
  const known = compiled.get(key);
  if (known) return known;
  const invalid = (reason: string, cause?: unknown) =>
    new AiotError('AIOT_SETTINGS_SCHEMA', `${type}: ${reason.slice(0, 300)}`, { cause });
  if (text.includes('"writeOnly":true')) throw invalid('writeOnly: settings must not contain secrets');
  try {
    const made = await compileSettings(schema);
    if (compiled.size >= mostCompiled) compiled.delete(compiled.keys().next().value as string);
    compiled.set(key, made);
    return made;
  } catch (error) {
    throw invalid(error instanceof Error ? error.message : String(error), error);
  }
}

/** @throws Error if the schema is not a JSON Schema (draft 2020-12), or if its defaults alone violate it */
export async function compileSettings(schema: Values): Promise<CompiledSettings> {
  const check = await compileSchema(schema);
  const defaults = defaultsOf(schema);
  const resolveOnce: CompiledSettings['resolve'] = (layers) => {
    const values = structuredClone(defaults);
    const origins: Record<string, string> = {};
    for (const [path] of leavesOf(values)) origins[path] = 'default';
    for (const layer of [...layers].sort(byPriority)) override(values, layer.values, layer.from, origins, '');
    const problem = check(values) ?? tooLong(values);
    if (problem !== null) return { problem };
    return { values, digest: digestOf(Buffer.from(canonicalJson(values))), origins };
  };
  // A fleet of thousands of devices has few different layers, and is compared with them once a second.
  const results = new Map<string, ReturnType<typeof resolveOnce>>();
  const resolve: CompiledSettings['resolve'] = (layers) => {
    const key = JSON.stringify(layers);
    const known = results.get(key);
    if (known) return known;
    const result = resolveOnce(layers);
    if (results.size >= mostCompiled) results.clear();
    results.set(key, result);
    return result;
  };
  const alone = resolve([]);
  if ('problem' in alone) throw new Error(`the defaults are invalid${alone.problem.text}`);
  return { resolve };
}

/**
 * Compares a device's reported settings with those that it should have. Reported values take precedence over the reported digest.
 * @param sentFor time since the settings were sent to the online device, ms; null = the device is offline
 */
export function settingsDrift(
  desired: Pick<DesiredSettings, 'values' | 'digest'>,
  reported: SettingsReport | null,
  sentFor: number | null,
): SettingsDrift {
  const differences = reported?.values === undefined ? [] : differencesOf(desired.values, reported.values);
  if (reported?.digest === desired.digest && differences.length === 0) return { state: 'same', differences };
  if (reported?.error?.digest === desired.digest) return { state: 'rejected', differences };
  if (sentFor === null || sentFor < settingsPatienceMs) return { state: 'pending', differences };
  return { state: reported === null ? 'unsupported' : 'drifted', differences };
}

/** A change to overrides: values to set, as nested objects, and the paths of values to remove, such as `report.everyS`. */
export interface SettingsChange {
  set?: Values | undefined;
  unset?: readonly string[] | undefined;
}

/** A layer's values after a change. Removing a missing value has no effect. */
export function changedSettings(values: Values, { set = {}, unset = [] }: SettingsChange): Values {
  const changed = structuredClone(values);
  override(changed, set, '', {}, '');
  for (const path of unset) removeAt(changed, path.split('.'));
  return changed;
}

/** The paths that a change sets or removes. */
export function pathsOf({ set = {}, unset = [] }: SettingsChange): string[] {
  return [...leavesOf(set).map(([path]) => path), ...unset];
}

/** A change without the paths that `isLeftOut` names. */
export function withoutPaths(
  { set = {}, unset = [] }: SettingsChange,
  isLeftOut: (path: string) => boolean,
): Required<SettingsChange> {
  const kept: Values = {};
  for (const [path, value] of leavesOf(set))
    if (!isLeftOut(path)) override(kept, nested(path.split('.'), value), '', {}, '');
  return { set: kept, unset: unset.filter((path) => !isLeftOut(path)) };
}

/** The change that undoes a change to these values. */
export function inverseChange(values: Values, change: SettingsChange): Required<SettingsChange> {
  const set: Values = {};
  const unset: string[] = [];
  for (const path of pathsOf(change)) {
    const before = valueAt(values, path.split('.'));
    if (before === undefined) unset.push(path);
    else override(set, nested(path.split('.'), before), '', {}, '');
  }
  return { set, unset };
}

function valueAt(values: Values, [name = '', ...rest]: readonly string[]): unknown {
  const value = Object.hasOwn(values, name) ? values[name] : undefined;
  if (rest.length === 0) return value;
  return isObject(value) ? valueAt(value, rest) : undefined;
}

function nested([name = '', ...rest]: readonly string[], value: unknown): Values {
  return { [name]: rest.length === 0 ? value : nested(rest, value) };
}

/** Removes a value, and the objects around it that become empty. */
function removeAt(values: Values, [name = '', ...rest]: readonly string[]): void {
  if (!Object.hasOwn(values, name)) return;
  const inner = values[name];
  if (rest.length === 0) delete values[name];
  else if (isObject(inner)) {
    removeAt(inner, rest);
    if (Object.keys(inner).length === 0) delete values[name];
  }
}

function tooLong(values: Values): Violation | null {
  const bytes = Buffer.byteLength(JSON.stringify(values));
  if (bytes <= mostSettingsBytes) return null;
  return { text: `: expected at most ${mostSettingsBytes} bytes, got ${bytes}`, path: '' };
}

function byPriority(a: SettingsLayer, b: SettingsLayer): number {
  return a.priority - b.priority || (a.from < b.from ? -1 : a.from > b.from ? 1 : 0);
}

/** Defaults of a schema's properties. An object without a default of its own consists of its properties' defaults. */
function defaultsOf(schema: unknown): Values {
  const { properties } = (isObject(schema) ? schema : {}) as { properties?: Values };
  const known = Object.entries(properties ?? {}).flatMap(([name, property]): [string, unknown][] => {
    if (!isObject(property)) return [];
    if ('default' in property) return [[name, property.default]];
    const inner = defaultsOf(property);
    return Object.keys(inner).length === 0 ? [] : [[name, inner]];
  });
  return Object.fromEntries(known);
}

/** Sets the values of a layer. Objects are merged. Any other value, including an array, replaces the value of the layer below. */
function override(below: Values, layer: Values, from: string, origins: Values, above: string): void {
  for (const [name, value] of Object.entries(layer)) {
    const path = `${above}${name}`;
    const old = Object.hasOwn(below, name) ? below[name] : undefined;
    if (isObject(value) && isObject(old)) {
      // An empty object counts as a value until it gets members.
      if (Object.keys(value).length > 0) delete origins[path];
      override(old, value, from, origins, `${path}.`);
      continue;
    }
    for (const known of Object.keys(origins))
      if (known === path || known.startsWith(`${path}.`)) delete origins[known];
    // A name such as __proto__ must become a member, not the object's prototype.
    Object.defineProperty(below, name, {
      ...{ value: structuredClone(value), configurable: true, enumerable: true, writable: true },
    });
    for (const [inner] of leavesOf(value, path)) origins[inner] = from;
  }
}

function differencesOf(desired: Values, reported: Values): SettingsDrift['differences'] {
  const [wanted, had] = [new Map(leavesOf(desired)), new Map(leavesOf(reported))];
  const paths = [...new Set([...wanted.keys(), ...had.keys()])].sort();
  return paths.flatMap((path) => {
    const [a, b] = [wanted.get(path), had.get(path)];
    const isSame = wanted.has(path) === had.has(path) && canonicalJson(a) === canonicalJson(b);
    return isSame ? [] : [{ path, desired: a, reported: b }];
  });
}

/** The values that are not objects with members, by path. */
function leavesOf(value: unknown, path = ''): [string, unknown][] {
  if (!isObject(value) || Object.keys(value).length === 0) return path === '' ? [] : [[path, value]];
  return Object.entries(value).flatMap(([name, inner]) =>
    leavesOf(inner, path === '' ? name : `${path}.${name}`),
  );
}

function isObject(value: unknown): value is Values {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
