import type { RegistryClient } from '../api/client.js';
import {
  type CommandsApplied,
  commandTimeoutMs,
  type NewCommand,
  newCommandSchema,
} from '../api/contract/commands.js';
import { type NewSettings, newSettingsSchema, type SettingsApplied } from '../api/contract/settings.js';
import { AiotError } from '../core/errors.js';
import { problemsOf } from '../core/issues.js';
import { loadProject, type Project } from '../core/project.js';
import { formatDuration, parseDuration } from '../core/time.js';
import { compileCommand, isBuiltIn } from '../fleet/command.js';
import { compileProjectSettings } from '../fleet/settings.js';

/** The commands in a project's aiot.yaml, as the platform defines commands. @throws AIOT_PROJECT_INVALID, AIOT_COMMAND_SCHEMA */
export async function commandsOf({ config, file }: Project): Promise<NewCommand[]> {
  const found: NewCommand[] = [];
  for (const [type, commands] of Object.entries(config.commands ?? {})) {
    for (const [name, { timeout, run, simulate, ...own }] of Object.entries(commands)) {
      const place = `${file}: commands.${type}.${name}`;
      const invalid = (message: string) => new AiotError('AIOT_PROJECT_INVALID', `${place}${message}`);
      if (isBuiltIn(name))
        throw invalid(': expected another name, because every device has a command of this name');
      if (run && simulate) throw invalid(': expected either run or simulate, got both');
      const wanted = { ...own, type, name, timeoutMs: parseDuration(timeout) };
      const checked = newCommandSchema.safeParse(wanted);
      if (!checked.success) {
        const [problem] = problemsOf(checked.error, { value: wanted });
        const [member] = problem?.path ?? [];
        const { min, max } = commandTimeoutMs;
        throw member === 'timeoutMs'
          ? invalid(`.timeout: expected ${formatDuration(min)} to ${formatDuration(max)}, got ${timeout}`)
          : invalid(`${member === 'name' ? '' : `.${String(member)}`}: ${problem?.message ?? ''}`);
      }
      await compileCommand(checked.data);
      found.push(checked.data);
    }
  }
  return found;
}

/**
 * Synchronizes a project's commands on the platform with its aiot.yaml.
 * @throws AIOT_PROJECT_NOT_FOUND, AIOT_PROJECT_INVALID, AIOT_COMMAND_SCHEMA, AIOT_ALREADY_EXISTS (a command of another project)
 */
export async function applyProjectCommands(
  { commands }: Pick<RegistryClient, 'commands'>,
  { project: folder, dryRun }: { project: string; dryRun: boolean },
): Promise<CommandsApplied> {
  const project = await loadProject(folder);
  return commands.apply({ project: project.config.name, commands: await commandsOf(project), dryRun });
}

/** The settings of devices in a project's aiot.yaml. @throws AIOT_PROJECT_INVALID, AIOT_SETTINGS_SCHEMA */
export async function settingsOf({ config, file }: Project): Promise<NewSettings[]> {
  const found: NewSettings[] = [];
  for (const [type, { schema }] of Object.entries(config.settings ?? {})) {
    const wanted = { type, schema };
    const checked = newSettingsSchema.safeParse(wanted);
    if (!checked.success) {
      const [problem] = problemsOf(checked.error, { value: wanted });
      const place = `${file}: settings.${type}.${problem?.path.join('.')}`;
      throw new AiotError('AIOT_PROJECT_INVALID', `${place}: ${problem?.message ?? ''}`);
    }
    await compileProjectSettings(type, schema);
    found.push(checked.data);
  }
  return found;
}

/**
 * Synchronizes a project's settings on the platform with its aiot.yaml.
 * @throws AIOT_PROJECT_NOT_FOUND, AIOT_PROJECT_INVALID, AIOT_SETTINGS_SCHEMA, AIOT_ALREADY_EXISTS (a type of another project),
 * AIOT_SETTINGS_INVALID (overrides that do not fit the new schema)
 */
export async function applyProjectSettings(
  { settings }: Pick<RegistryClient, 'settings'>,
  { project: folder, dryRun }: { project: string; dryRun: boolean },
): Promise<SettingsApplied> {
  const project = await loadProject(folder);
  return settings.apply({ project: project.config.name, settings: await settingsOf(project), dryRun });
}
