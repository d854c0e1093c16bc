import type { Command, Config } from '@oclif/core';
import { z } from 'zod';
import { AiotError } from '../../core/index.js';
import type { AiotCommand } from '../command.js';
import { common } from '../flags.js';
import { classOf, type ToolClass, withheld } from './classes.js';

/** A command as the protocol lists it. */
export interface Tool {
  name: string;
  title: string;
  description: string;
  inputSchema: object;
  outputSchema: object;
  annotations: { readOnlyHint: boolean; openWorldHint: boolean };
}

/** A command that an agent may call. */
export interface Callable {
  tool: Tool;
  /** Its words. */
  id: string;
  kind: Exclude<ToolClass, 'never'>;
  /** Names of flags that it has here. */
  flags: readonly string[];
  command: Command.Loadable;
}

type FlagLike = Command.Flag.Cached & { multiple?: boolean; options?: readonly string[] };

/** `model inspect` → `model_inspect`: clients take letters, digits and `_` everywhere. */
const nameOf = (id: string) => id.replaceAll(' ', '_');

/** All commands that an agent may call, by the name of the tool; their schemas are those of `--json`. */
export async function callables(config: Config): Promise<Map<string, Callable>> {
  const found = new Map<string, Callable>();
  for (const command of config.commands) {
    const id = command.id.replaceAll(':', ' ');
    const kind = classOf(id);
    if (kind === 'never') continue;
    const flags = Object.keys(command.flags).filter(
      (name) =>
        !(name in common) &&
        !(kind === 'read' && withheld.has(name)) &&
        !command.flags[name]?.hidden &&
        name !== 'yes',
    );
    const { result } = (await command.load()) as unknown as typeof AiotCommand;
    const approval = kind === 'write' ? ' Wants an approval of the user for each call.' : '';
    const tool: Tool = {
      name: nameOf(id),
      title: `aiot ${id}`,
      description: [`${command.summary ?? id}${approval}`, command.description].filter(Boolean).join('\n\n'),
      inputSchema: inputOf(command, flags, kind),
      outputSchema: outputOf(result),
      annotations: { readOnlyHint: kind === 'read', openWorldHint: false },
    };
    found.set(tool.name, { tool, id, kind, flags, command });
  }
  return found;
}

/** `{exit, result}`: the protocol wants an object, and many commands print a list. */
function outputOf(result: z.ZodType): object {
  const exit = z.int().describe('0 done; 1 failed, 3 partly failed, 6 a check or gate said no');
  return z.toJSONSchema(z.object({ exit, result }), {
    ...{ target: 'draft-7', unrepresentable: 'any' },
    // No format of JSON Schema: clients that check formats would warn of it.
    override: ({ jsonSchema }) => {
      if (jsonSchema.format === 'base64') delete jsonSchema.format;
    },
  });
}

function inputOf(command: Command.Loadable, flags: readonly string[], kind: ToolClass): object {
  const args = Object.entries(command.args);
  const one = (description?: string) => ({ type: 'string', ...(description ? { description } : {}) });
  const properties: Record<string, object> = {};
  for (const [name, { description, options }] of args) {
    const word = { ...one(description), ...(options ? { enum: options } : {}) };
    properties[name] = command.strict === false ? { type: 'array', items: word } : word;
  }
  for (const name of flags) properties[name] = flagSchema(command.flags[name] as FlagLike);
  if (kind === 'write') properties.approval_token = one('What aiot mcp approve printed for just this call.');
  const required = [
    ...args.filter(([, { required }]) => required).map(([name]) => name),
    ...flags.filter((name) => command.flags[name]?.required),
  ];
  return { type: 'object', properties, required, additionalProperties: false };
}

function flagSchema(flag: FlagLike): object {
  const description = flag.summary ?? flag.description ?? '';
  if (flag.type === 'boolean') return { type: 'boolean', description };
  const value = { type: ['string', 'number'], ...(flag.options ? { enum: flag.options } : {}) };
  return flag.multiple ? { type: 'array', items: value, description } : { ...value, description };
}

/**
 * The words of the command line for these arguments. Each flag is one word with its value, and what is no flag stands behind `--`:
 * no value can become a flag.
 * @throws AIOT_USAGE for an argument that the tool has not, or of another type
 */
export function wordsOf({ id, flags, command, kind }: Callable, given: Record<string, unknown>): string[] {
  const named: string[] = [];
  const known = [...Object.keys(command.args), ...flags, ...(kind === 'write' ? ['approval_token'] : [])];
  for (const [name, value] of Object.entries(given)) {
    if (!known.includes(name))
      throw new AiotError(
        'AIOT_USAGE',
        `${nameOf(id)} has no argument ${name}: expected ${known.join(', ')}`,
      );
    const flag = command.flags[name] as FlagLike | undefined;
    if (!flags.includes(name) || flag === undefined) continue;
    if (flag.type === 'boolean') {
      if (typeof value !== 'boolean')
        throw new AiotError('AIOT_USAGE', `${name}: expected true or false, got ${JSON.stringify(value)}`);
      if (value) named.push(`--${name}`);
      else if (flag.allowNo) named.push(`--no-${name}`);
    } else for (const one of listOf(name, value)) named.push(`--${name}=${one}`);
  }
  const [first, second] = Object.keys(command.args);
  if (first && second && given[first] === undefined && given[second] !== undefined)
    throw new AiotError('AIOT_USAGE', `${second}: expected ${first} before it`);
  const words = [first, second].flatMap((name) =>
    name === undefined || given[name] === undefined ? [] : listOf(name, given[name]),
  );
  return [
    ...id.split(' '),
    '--json',
    '--quiet',
    // An approval answers what the command would ask.
    ...(kind === 'write' && 'yes' in command.flags ? ['--yes'] : []),
    ...named.sort(),
    ...(words.length > 0 ? ['--', ...words] : []),
  ];
}

function listOf(name: string, value: unknown): string[] {
  return (Array.isArray(value) ? value : [value]).map((one) => {
    if (typeof one === 'string' && !one.includes('\0')) return one;
    if (typeof one === 'number') return String(one);
    throw new AiotError('AIOT_USAGE', `${name}: expected a text or a number, got ${JSON.stringify(one)}`);
  });
}
