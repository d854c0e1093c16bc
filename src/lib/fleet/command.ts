import type { ErrorObject, ValidateFunction } from 'ajv/dist/2020.js';
import {
  type CommandDefinition,
  type CommandInfo,
  mostParamsBytes,
  mostReplyBytes,
  newCommandSchema,
} from '../api/contract/commands.js';
import { AiotError } from '../core/errors.js';
import { logLevelMs, logLevels } from '../device/protocol/control.js';
import { BoundedRegExp } from '../stream/decode/expression.js';

type Values = Record<string, unknown>;

const time = { type: 'integer', minimum: 0 };

/** The commands of protocol v1, which devices of every type support. */
const builtIn = [
  {
    name: 'ping',
    summary: "Read the device's clock.",
    reply: { type: 'object', properties: { t: time }, required: ['t'] },
    repeatable: true,
  },
  {
    name: 'status',
    summary: "Show the device's versions, its memory, and the state of an update.",
    repeatable: true,
  },
  { name: 'reboot', summary: 'Restart the device.' },
  {
    name: 'log-level',
    summary: 'Set the least severe level of the log, for a time (forMs) or until the next restart.',
    params: {
      type: 'object',
      properties: {
        level: { enum: [...logLevels] },
        forMs: { type: 'integer', minimum: logLevelMs.min, maximum: logLevelMs.max },
      },
      required: ['level'],
      additionalProperties: false,
    },
    repeatable: true,
  },
  { name: 'crash', summary: 'Make a virtual device crash, to try out crash reports. Boards reject it.' },
] as const;

/** The commands of protocol v1, for devices of a type. */
export function builtInCommands(type: string): CommandInfo[] {
  return builtIn.map((command) => ({ ...newCommandSchema.parse({ type, ...command }), project: null }));
}

/** Whether protocol v1 defines a command of this name. */
export function isBuiltIn(name: string): boolean {
  return builtIn.some((command) => command.name === name);
}

/** A command with its schemas, ready to check calls. */
export interface CompiledCommand {
  /** @throws AIOT_COMMAND_PARAMS */
  checkParams(params: Values): void;
  /** @throws AIOT_COMMAND_REPLY */
  checkReply(device: string, result: unknown): void;
}

/** Compiled commands by their schemas, because compiling takes milliseconds. */
const compiled = new Map<string, CompiledCommand>();
const mostCompiled = 200;

/** @throws AIOT_COMMAND_SCHEMA if a schema is not a JSON Schema (draft 2020-12), or refers to another one */
export async function compileCommand(command: CommandDefinition): Promise<CompiledCommand> {
  const { params, reply, type, name } = command;
  const key = JSON.stringify([type, name, params, reply]);
  const known = compiled.get(key);
  if (known) return known;
  const problemOfParams = await compile(command, 'params', params ?? noParams);
  const problemOfReply = await compile(command, 'reply', reply ?? { type: 'object' });
  const made: CompiledCommand = {
    checkParams(given) {
      const bytes = Buffer.byteLength(JSON.stringify(given));
      const problem =
        bytes > mostParamsBytes
          ? `: expected at most ${mostParamsBytes} bytes, got ${bytes}`
          : (problemOfParams(given)?.text ?? null);
      if (problem !== null) throw new AiotError('AIOT_COMMAND_PARAMS', `${name}: params${problem}`);
    },
    checkReply(device, result) {
      const bytes = Buffer.byteLength(JSON.stringify(result) ?? '');
      const problem =
        bytes > mostReplyBytes
          ? `: expected at most ${mostReplyBytes} bytes, got ${bytes}`
          : (problemOfReply(result ?? {})?.text ?? null);
      if (problem !== null)
        throw new AiotError(
          'AIOT_COMMAND_REPLY',
          `${device} ran ${name}, but its reply is invalid${problem}`,
        );
    },
  };
  if (compiled.size >= mostCompiled) compiled.delete(compiled.keys().next().value as string);
  compiled.set(key, made);
  return made;
}

const noParams = { type: 'object', additionalProperties: false };

async function compile(
  { type, name }: CommandDefinition,
  member: 'params' | 'reply',
  schema: Values,
): Promise<Check> {
  try {
    return await compileSchema(schema);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new AiotError('AIOT_COMMAND_SCHEMA', `${type}/${name}: ${member}: ${reason.slice(0, 300)}`, {
      cause: error,
    });
  }
}

/** A violation of a schema by a value. */
export interface Violation {
  /** Such as `.rpm: must be <= 3000, got 9000`. Contains no secret values. */
  text: string;
  /** Path of the value, such as `report.everyS`; empty = the whole value. */
  path: string;
}

/** The first violation of a schema by a value; null = the value is valid. */
export type Check = (value: unknown) => Violation | null;

/**
 * As in the draft, formats are annotations. Only other keywords of the schema are checked.
 * @throws Error if the schema is not a JSON Schema (draft 2020-12), or refers to another one
 */
export async function compileSchema(schema: Values): Promise<Check> {
  const { Ajv2020 } = await import('ajv/dist/2020.js');
  const search = Object.assign((pattern: string, flags: string) => boundedPattern(pattern, flags), {
    code: 'new RegExp',
  });
  const ajv = new Ajv2020({
    ...{ strict: true, strictTypes: false, strictRequired: false, validateFormats: false },
    ...{ logger: false, code: { regExp: search } },
  });
  const validate = ajv.compile(schema);
  return (value) => problemOf(validate, value, schema);
}

/**
 * A pattern whose search has a time limit, because a schema's patterns are applied to untrusted values. Ajv shares patterns that have
 * the same text.
 */
function boundedPattern(pattern: string, flags: string): { test(text: string): boolean; toString(): string } {
  const bounded = new BoundedRegExp(new RegExp(pattern, flags));
  return { test: (text) => bounded.exec(text) !== null, toString: () => `/${pattern}/${flags}` };
}

function problemOf(validate: ValidateFunction, value: unknown, schema: Values): Violation | null {
  try {
    if (validate(value)) return null;
  } catch (error) {
    return { text: `: ${error instanceof Error ? error.message : String(error)}`, path: '' };
  }
  const error = validate.errors?.[0] as ErrorObject;
  const names = error.instancePath.split('/').slice(1).map(unescaped);
  const got = names.reduce<unknown>(
    (at, each) => (at as Values | undefined)?.[each],
    maskSecrets(value, schema),
  );
  const extra = detailOf(error);
  const shown = names.length === 0 ? '' : `, got ${(JSON.stringify(got) ?? 'nothing').slice(0, 80)}`;
  const text = `${names.map((each) => `.${each}`).join('')}: ${error.message ?? 'is invalid'}${extra}${shown}`;
  return { text, path: [...names, ...memberOf(error)].join('.') };
}

/** The member that a violation of its object concerns, if there is one. */
function memberOf({ keyword, params }: ErrorObject): string[] {
  if (keyword === 'required') return [String(params.missingProperty)];
  if (keyword === 'additionalProperties') return [String(params.additionalProperty)];
  return [];
}

/** Reverses the escaping of a JSON Pointer (RFC 6901). */
function unescaped(token: string): string {
  return token.replaceAll('~1', '/').replaceAll('~0', '~');
}

function detailOf({ keyword, params }: ErrorObject): string {
  if (keyword === 'additionalProperties') return `: ${String(params.additionalProperty)}`;
  if (keyword === 'enum') return `: ${(params.allowedValues as unknown[]).map(String).join(', ')}`;
  return '';
}

const mask = '***';

/** Keywords that make it impossible to find a property's schema by its name. */
const indirect =
  /"(\$ref|\$dynamicRef|oneOf|anyOf|allOf|not|if|patternProperties|prefixItems|contains|dependentSchemas)":|"(additional|unevaluated)(Properties|Items)":\{/;

/**
 * A copy of a command's parameters or reply for logs, in which values whose schema says `writeOnly: true` are masked. If the schema is too
 * complex to determine these values, all values are masked.
 */
export function maskSecrets(value: unknown, schema: unknown): unknown {
  const text = JSON.stringify(schema) ?? '';
  if (!text.includes('"writeOnly":true')) return value;
  return masked(value, schema, indirect.test(text));
}

function masked(value: unknown, schema: unknown, all: boolean): unknown {
  const { writeOnly, properties = {}, items } = (schema ?? {}) as Values;
  if (writeOnly === true) return mask;
  if (Array.isArray(value)) return value.map((each) => masked(each, items, all));
  if (typeof value !== 'object' || value === null) return all ? mask : value;
  const own = Object.entries(value).map(([name, each]) => {
    const inner = Object.hasOwn(properties as Values, name) ? (properties as Values)[name] : undefined;
    return [name, masked(each, inner, all)];
  });
  return Object.fromEntries(own);
}
