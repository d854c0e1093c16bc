import type { Command } from '@oclif/core';
import type { FlagVariable } from './types.js';

/** The environment twins of all flags of all commands, sorted. */
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
