import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { sourcesIn } from '../imports.js';

/**
 * @typedef {object} CommandFile
 * @property {string} id words of the command, separated by spaces
 * @property {string} file relative to the root
 * @property {any} command its class
 */

/**
 * Loads all commands of src/commands. TypeScript must be loadable: under vitest, or after tsx is registered.
 * @param {string} root
 * @returns {Promise<CommandFile[]>}
 */
export async function loadCommands(root) {
  const files = sourcesIn(root, join('src', 'commands'));
  return Promise.all(
    files.map(async (file) => {
      const { default: command } = await import(pathToFileURL(join(root, file)).href);
      const id = file
        .slice('src/commands/'.length, -'.ts'.length)
        .split(/[\\/]/)
        .join(' ')
        .replace(/ index$/, '');
      for (const [, flag] of flagsOf(command)) {
        // oclif's help shows this text instead of the default value.
        const shown =
          typeof flag.defaultHelp === 'function' && (await flag.defaultHelp({ options: flag, flags: {} }));
        if (shown) flag.shownDefault = shown;
      }
      return { id, file, command };
    }),
  );
}

/**
 * Flags of a command by name, including those that all commands share.
 * @param {any} command
 * @returns {[string, any][]}
 */
export function flagsOf(command) {
  return Object.entries({ ...command.flags, ...command.baseFlags }).filter(([, flag]) => !flag.hidden);
}

/**
 * An example as text, with its templates filled in.
 * @param {string | {command: string, description: string}} example
 * @param {string} id
 */
export function exampleText(example, id) {
  const text = typeof example === 'string' ? example : `# ${example.description}\n${example.command}`;
  return text.replaceAll('<%= config.bin %>', 'aiot').replaceAll('<%= command.id %>', id);
}
