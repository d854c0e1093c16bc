import { createHash } from 'node:crypto';
import * as z from 'zod';
import { type CommandInfo, commandInfoSchema } from '../api/contract/commands.js';
import { AiotError } from '../core/errors.js';
import { namePattern } from '../core/names.js';
import { everyOf, withoutList } from '../fleet/selector.js';

/** Longest tool name that all clients accept. */
const mostName = 64;

/** The commands in the result of `device commands list --json`; none if it is another result. */
export function definitionsIn(result: unknown): CommandInfo[] {
  const read = z.array(commandInfoSchema).safeParse(result);
  return read.success ? read.data : [];
}

/**
 * Name of the tool that calls a command of a type of devices, such as `call_pump_set-speed`. All clients allow letters, digits, `_` and `-`.
 * A name that is too long or contains other characters ends with a digest of type and command, so that names never collide.
 */
export function toolNameOf({ type, name }: Pick<CommandInfo, 'type' | 'name'>): string {
  const full = `call_${type}_${name}`;
  // A type with `_` could make two pairs of type and command equal.
  if (/^[A-Za-z0-9-]*$/.test(type) && full.length <= mostName) return full;
  const digest = createHash('sha256')
    .update(JSON.stringify([type, name]))
    .digest('hex')
    .slice(0, 8);
  return `${full.replace(/[^A-Za-z0-9_-]/g, '_').slice(0, mostName - 9)}_${digest}`;
}

/** Text and JSON Schemas of a tool that calls a command: which devices, and the parameters by the command's own schema. */
export function describe({ type, name, summary, params, role, repeatable, timeoutMs }: CommandInfo) {
  const text = (description: string) => ({ type: 'string', description });
  return {
    title: `${name} on devices of type ${type}`,
    description: [
      `${summary ?? `Call ${name} on devices of type ${type}.`} Requires the user's approval for each call.`,
      `A command of devices of type ${type}, for the role ${role}. Give either device or selector.${repeatable ? '' : ' If a device does not reply, it may have run the command nevertheless.'}`,
    ].join('\n\n'),
    inputSchema: {
      type: 'object',
      properties: {
        device: text('Device name.'),
        selector: text(`Selector of several devices, such as type=${type}.`),
        ...(params ? { params: nested(params) } : {}),
        wait: { type: 'boolean', description: 'Wait for offline devices until the timeout.' },
        timeout: text(`Maximum time to wait for the reply, such as 30s [default: ${timeoutMs / 1000}s].`),
        approval_token: text('Token printed by aiot mcp approve for exactly this call.'),
      },
      required: Array.isArray(params?.required) && params.required.length > 0 ? ['params'] : [],
      additionalProperties: false,
    },
  };
}

/**
 * The command's schema as the schema of the argument `params`. Its local references would otherwise refer to the tool's schema, and some
 * clients reject a schema that names its dialect within another schema.
 */
function nested({ $schema: _, $id: __, ...schema }: Record<string, unknown>): unknown {
  return referringTo('#/properties/params', schema);
}

function referringTo(place: string, schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map((each) => referringTo(place, each));
  if (typeof schema !== 'object' || schema === null) return schema;
  return Object.fromEntries(
    Object.entries(schema).map(([key, value]) => [
      key,
      key === '$ref' && typeof value === 'string' && value.startsWith('#')
        ? `${place}${value.slice(1)}`
        : referringTo(place, value),
    ]),
  );
}

const givenSchema = z.strictObject({
  device: z.string().min(1).optional(),
  selector: z.string().min(1).optional(),
  params: z.record(z.string(), z.unknown()).default({}),
  wait: z.boolean().default(false),
  timeout: z.string().optional(),
  approval_token: z.unknown().optional(),
});

/**
 * The command line that calls the command with these arguments, on devices of its type alone. Each flag and its value form one word, and
 * names follow `--`, so that no value can become a flag.
 * @throws AIOT_SELECTOR_INVALID, AIOT_USAGE for an unknown argument, one of the wrong type, or neither or both of device and selector
 */
export function callLine(
  { type, name, params: schema }: CommandInfo,
  given: Record<string, unknown>,
): string[] {
  const read = givenSchema.safeParse(given);
  if (!read.success) {
    const [{ path, message }] = read.error.issues as [z.core.$ZodIssue];
    throw new AiotError('AIOT_USAGE', `${path.join('.') || 'arguments'}: ${message}`);
  }
  const { device, selector, params, wait, timeout } = read.data;
  if ((device === undefined) === (selector === undefined))
    throw new AiotError('AIOT_USAGE', 'expected either device or selector');
  if (device !== undefined && !namePattern.test(device))
    throw new AiotError('AIOT_USAGE', `expected a device's name, got ${JSON.stringify(device)}`);
  const whom = everyOf([`type=${type}`, selector === undefined ? `name=${device}` : withoutList(selector)]);
  const properties = (schema?.properties ?? {}) as Record<string, { type?: unknown } | undefined>;
  const flags = Object.entries(params).map(([key, value]) => {
    if (key.includes('=') || key === '')
      throw new AiotError('AIOT_USAGE', `params: the name ${key} cannot be passed`);
    // `device call` reads text as it is if the schema expects text, and everything else as JSON.
    const isText =
      Object.hasOwn(properties, key) && properties[key]?.type === 'string' && typeof value === 'string';
    return `--param=${key}=${isText ? value : JSON.stringify(value)}`;
  });
  const words = [...flags.sort(), `--selector=${whom}`, ...(wait ? ['--wait'] : [])];
  if (timeout) words.push(`--timeout=${timeout}`);
  const line = [...words, '--', name];
  const strange = line.find((word) => word.includes('\0'));
  if (strange !== undefined)
    throw new AiotError('AIOT_USAGE', `expected text without NUL, got ${JSON.stringify(strange)}`);
  return ['device', 'call', '--json', '--quiet', ...line];
}
