import { bashCompletion } from './bash.js';
import { fishCompletion } from './fish.js';
import type { CompletionTable } from './table.js';
import { zshCompletion } from './zsh.js';

export { completionTable } from './table.js';

const scripts = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion };

export type CompletionShell = keyof typeof scripts;

export const completionShells = Object.keys(scripts) as CompletionShell[];

/** The script that completes aiot's command line in a shell; it runs without starting aiot. */
export function completionScript(shell: CompletionShell, table: CompletionTable): string {
  return scripts[shell](table);
}
