import * as z from 'zod';
import { AiotError } from '../core/errors.js';
import { parsedJson } from '../core/text.js';
import type { RegistryClient } from './client.js';
import {
  type CommandInfo,
  type DeviceCall,
  type DeviceReply,
  deviceReplySchema,
} from './contract/commands.js';

const calledDeviceSchema = z.object({
  device: z.string(),
  /** Null if the call succeeded. */
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
  result: z.unknown().optional(),
  /** Time until the reply, ms; null = no valid reply. */
  ms: z.number().nullable(),
});

/** The calls of one command on the devices that a selector matches. */
export const devicesCalledSchema = z.object({
  command: z.string(),
  selector: z.string(),
  matched: z.int(),
  succeeded: z.int(),
  failed: z.int(),
  /** Sorted by name. */
  devices: z.array(calledDeviceSchema),
});
export type DevicesCalled = z.output<typeof devicesCalledSchema>;

/** The reply of a single device that was named, or the outcomes of several devices. */
export const deviceCalledSchema = z.union([devicesCalledSchema, deviceReplySchema]);
export type DeviceCalled = z.output<typeof deviceCalledSchema>;

export interface CallDevices {
  client: Pick<RegistryClient, 'devices' | 'commands'>;
  /** A device's name, or a selector for several devices. */
  target: { name: string } | { selector: string };
  command: string;
  /** Parameters as `name=value`; see `paramsOf`. */
  params: readonly string[];
  /** Maximum time until a reply, ms; absent = the command's default. */
  timeoutMs?: number | undefined;
  /** Whether to wait for offline devices. */
  waits: boolean;
  signal?: AbortSignal | undefined;
  onProgress?: ((done: number, total: number) => void) | undefined;
}

/** Maximum number of devices in one call, and maximum number called concurrently. The client has 8 connections. */
const mostDevices = 10_000;
const atOnce = 8;

/**
 * Calls a command on one or more devices. The error of one device does not affect the others.
 * @throws AIOT_NOT_FOUND if no device matches, AIOT_SELECTOR_INVALID, AIOT_USAGE, and the error of a device that was given by name
 */
export async function callDevices(options: CallDevices): Promise<DeviceCalled> {
  const { client, target, command, signal } = options;
  const definitions = new Map<string, CommandInfo | undefined>();
  const callOne = async (name: string, type: string): Promise<DeviceReply> => {
    if (!definitions.has(type)) {
      const known = await client.commands.of(name);
      definitions.set(
        type,
        known.find((each) => each.name === command),
      );
    }
    const definition = definitions.get(type);
    const params = paramsOf(options.params, definition);
    const timeoutMs = options.timeoutMs ?? definition?.timeoutMs;
    const call: DeviceCall = { command, offline: options.waits ? 'wait' : 'reject' };
    if (Object.keys(params).length > 0) call.params = params;
    if (timeoutMs !== undefined) call.timeoutMs = timeoutMs;
    // The platform has just listed the devices of a selection, so an unreachable platform is probably restarting.
    const persists = 'selector' in target;
    return client.commands.call(name, call, { limitMs: timeoutMs ?? 0, persists, signal });
  };
  if ('name' in target) return callOne(target.name, '');
  const { selector } = target;
  const matching = await client.devices.list(selector);
  if (matching.length === 0) {
    throw new AiotError('AIOT_NOT_FOUND', `no device matches ${selector}`, {
      next: 'To see the devices and their types, run `aiot device list`.',
    });
  }
  if (matching.length > mostDevices)
    throw new AiotError(
      'AIOT_USAGE',
      `${selector} matches ${matching.length} devices: expected at most ${mostDevices}`,
    );
  const devices = await outcomesOf(matching, callOne, options);
  const failed = devices.filter(({ error }) => error !== null).length;
  return { command, selector, matched: devices.length, succeeded: devices.length - failed, failed, devices };
}

/** Exit code: 3 if some devices failed, 1 if all did; undefined = success. */
export function callExit(called: DeviceCalled): 1 | 3 | undefined {
  if (!('devices' in called) || called.failed === 0) return undefined;
  return called.succeeded === 0 ? 1 : 3;
}

async function outcomesOf(
  matching: readonly { name: string; type: string }[],
  callOne: (name: string, type: string) => Promise<DeviceReply>,
  { onProgress, signal }: CallDevices,
): Promise<DevicesCalled['devices']> {
  const found: DevicesCalled['devices'] = [];
  const waiting = [...matching];
  let fault: AiotError | undefined;
  /** Whether a device may have run the command, so that its outcome must be reported. */
  let hasCalled = false;
  const work = async () => {
    for (let next = waiting.shift(); next && !signal?.aborted; next = waiting.shift()) {
      const { name: device, type } = next;
      try {
        if (fault) throw fault;
        const { result, ms } = await callOne(device, type);
        hasCalled = true;
        found.push({ device, error: null, ...(result === undefined ? {} : { result }), ms });
      } catch (error) {
        if (!(error instanceof AiotError)) throw error;
        if (fatal.has(error.code)) fault ??= error;
        else hasCalled = true;
        found.push({ device, error: { code: error.code, message: error.message }, ms: null });
      }
      onProgress?.(found.length, matching.length);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, waiting.length) }, work));
  signal?.throwIfAborted();
  if (fault && !hasCalled) throw fault;
  return found.sort((a, b) => (a.device < b.device ? -1 : 1));
}

/**
 * Errors that affect every device. After one of them, the remaining devices are not called. It is thrown if no device was called, and
 * reported as the outcome of those that were not.
 */
const fatal = new Set([
  'AIOT_PLATFORM_UNREACHABLE',
  'AIOT_PLATFORM_UNTRUSTED',
  'AIOT_TOKEN_INVALID',
  'AIOT_USAGE',
]);

/**
 * Parameters from `name=value`. A value is JSON (`3`, `true`, `[1,2]`), or text if it is not JSON, or if the command's schema expects text.
 * @throws AIOT_USAGE
 */
export function paramsOf(
  words: readonly string[],
  definition: Pick<CommandInfo, 'params'> | undefined,
): Record<string, unknown> {
  const properties = (definition?.params?.properties ?? {}) as Record<string, { type?: unknown } | undefined>;
  const params: Record<string, unknown> = {};
  for (const word of words) {
    const [, name, text] = /^([^=]+)=(.*)$/s.exec(word) ?? [];
    if (name === undefined || text === undefined)
      throw new AiotError('AIOT_USAGE', `expected --param NAME=VALUE, got ${word}`);
    if (Object.hasOwn(params, name)) throw new AiotError('AIOT_USAGE', `--param ${name} is given twice`);
    const wanted = Object.hasOwn(properties, name) ? properties[name]?.type : undefined;
    const value = wanted === 'string' ? undefined : parsedJson(text);
    params[name] = value === undefined ? text : value;
  }
  return params;
}
