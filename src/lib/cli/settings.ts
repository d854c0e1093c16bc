import { join } from 'node:path';
import type { Command } from '@oclif/core';
import * as z from 'zod';
import { chosenContext } from '../core/contexts.js';
import { unless } from '../core/errors.js';
import { cacheFolder, configFolder, dataFolder } from '../core/folders.js';
import { loadProject, projectSettings } from '../core/project.js';

export interface ExplainInput {
  /** Flags given on the command line; undefined if not given. */
  flags: { project?: string | undefined; context?: string | undefined };
  variables: FlagVariable[];
  env: Record<string, string | undefined>;
}

/** Variables that do not correspond to a flag. */
const folders = {
  'config folder': { own: 'AIOT_CONFIG_DIR', xdg: 'XDG_CONFIG_HOME', folder: configFolder },
  'data folder': { own: 'AIOT_DATA_DIR', xdg: 'XDG_DATA_HOME', folder: dataFolder },
  'cache folder': { own: 'AIOT_CACHE_DIR', xdg: 'XDG_CACHE_HOME', folder: cacheFolder },
} as const;

const others = new Set([
  'AIOT_URL',
  'AIOT_TOKEN',
  'AIOT_CA',
  'AIOT_MQTT',
  ...Object.values(folders).map(({ own }) => own),
]);

/** All effective settings, with value and source. @throws AIOT_PROJECT_INVALID, AIOT_FILE_MALFORMED */
export async function explainSettings(input: ExplainInput): Promise<Explained> {
  const project = pick('project', input.flags.project, input.env, '.');
  const settings = [
    project,
    ...(await contextSettings(input)),
    ...folderSettings(input.env),
    ...variableSettings(input),
    ...(await fromProject(project.value ?? '.')),
  ];
  const known = new Set([...others, ...input.variables.map(({ variable }) => variable)]);
  const unknown = Object.keys(input.env).filter((name) => name.startsWith('AIOT_') && !known.has(name));
  return { settings, unknown: unknown.sort() };
}

function pick(
  name: 'project' | 'context',
  flag: string | undefined,
  env: ExplainInput['env'],
  fallback: string | null,
): Setting {
  const variable = `AIOT_${name.toUpperCase()}`;
  if (flag !== undefined) return { name, value: flag, from: 'flag', where: `--${name}` };
  const value = env[variable];
  if (value) return { name, value, from: 'env', where: variable };
  return { name, value: fallback, from: 'default', where: 'built in' };
}

async function contextSettings({ flags, env }: ExplainInput): Promise<Setting[]> {
  const chosen = pick('context', flags.context, env, null);
  // A context that does not exist is shown by its name, without a platform.
  const context = await unless('AIOT_CONTEXT_NOT_FOUND', chosenContext(flags.context, env));
  if (!context) return [chosen];
  const { name, from, others: _, kind: __, ...platform } = context;
  const file = join(configFolder(env), 'contexts.json');
  const origins = {
    name: chosen,
    current: { name: 'context', value: name, from: 'context' as const, where: file },
    environment: { name: 'context', value: name, from: 'env' as const, where: 'AIOT_URL' },
  };
  const parts = Object.entries(platform).map(([part, value]): Setting => {
    const variable = `AIOT_${part.toUpperCase()}`;
    const isFromEnvironment =
      from === 'environment' ? env[variable] !== undefined : part === 'token' && env.AIOT_TOKEN === value;
    const where = isFromEnvironment ? variable : `context ${name}`;
    return {
      name: part,
      value: masked(part, String(value)),
      from: isFromEnvironment ? 'env' : 'context',
      where,
    };
  });
  return [origins[from], ...parts];
}

function folderSettings(env: ExplainInput['env']): Setting[] {
  return Object.entries(folders).map(([name, { own, xdg, folder }]) => {
    const variable = env[own] ? own : env[xdg]?.startsWith('/') ? xdg : undefined;
    const where = variable ?? 'built in';
    return { name, value: folder(env), from: variable ? 'env' : 'default', where };
  });
}

/** The flags whose variable is set, except `project` and `context`, which are listed above. */
function variableSettings({ variables, env }: ExplainInput): Setting[] {
  return variables
    .filter(({ flag, variable }) => env[variable] && flag !== 'project' && flag !== 'context')
    .map(({ flag, variable }) => ({
      name: `--${flag}`,
      value: masked(variable, env[variable] ?? ''),
      from: 'env',
      where: variable,
    }));
}

async function fromProject(dir: string): Promise<Setting[]> {
  const project = await unless('AIOT_PROJECT_NOT_FOUND', loadProject(dir));
  if (!project) return [];
  return (await projectSettings(project)).map(({ path, value, line }) => ({
    name: path,
    value: typeof value === 'string' ? value : JSON.stringify(value),
    from: line === null ? 'default' : 'project',
    where: line === null ? 'built in' : `${project.file}:${line}`,
  }));
}

function masked(name: string, value: string): string {
  return /token$|secret|password/i.test(name) ? '••••••••' : value;
}

const settingSchema = z.object({
  name: z.string(),
  /** The value as text. A secret is masked; null = not set. */
  value: z.string().nullable(),
  /** The source of the value. Sources take precedence in the order flag, env, project, context, default. */
  from: z.enum(['flag', 'env', 'project', 'context', 'default']),
  /** Where the value is set: the flag, the variable, file:line, or the context's name; `built in` for a default. */
  where: z.string(),
});

type Setting = z.output<typeof settingSchema>;

export const explainedSchema = z.object({
  settings: z.array(settingSchema),
  /** Variables that begin with AIOT_ and have no meaning; usually a typo. */
  unknown: z.array(z.string()),
});

type Explained = z.output<typeof explainedSchema>;

/** A flag of one or more commands, and its environment variable. */
interface FlagVariable {
  flag: string;
  variable: string;
  /** Names of the commands that have the flag. */
  commands: string[];
}

/** The environment variables of all flags of all commands, sorted. */
export function flagVariables(commands: readonly Command.Loadable[]): FlagVariable[] {
  const found = new Map<string, FlagVariable>();
  for (const command of commands) {
    for (const [flag, { env }] of Object.entries(command.flags)) {
      if (!env) continue;
      const entry = found.get(env) ?? { flag, variable: env, commands: [] };
      entry.commands.push(command.id.replaceAll(':', ' '));
      found.set(env, entry);
    }
  }
  return [...found.values()].sort((a, b) => a.variable.localeCompare(b.variable, 'en'));
}
