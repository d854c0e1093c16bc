import { AiotError } from '../core/index.js';
import { decodeMessage } from './protocol/codec.js';
import { type Command, type CommandName, commandSchema, type Reply } from './protocol/control.js';

/** What each command does; its value is the reply's `result`. */
export type CommandHandlers = Record<CommandName, () => Promise<Record<string, unknown>>>;

export interface CommandOptions {
  topic: string;
  handlers: CommandHandlers;
  /** ms since 1970 */
  now: () => number;
}

/** Ids of commands that are remembered, so that one sent twice is done once. */
const remembered = 256;

/**
 * Answers commands: null for one that has expired or was answered before.
 * @throws AIOT_MESSAGE_MALFORMED where there is no id to answer to
 */
export function createCommander(
  options: CommandOptions,
): (payload: Uint8Array) => Promise<[Command, Reply] | null> {
  const { topic, handlers, now } = options;
  const answered = new Set<string>();
  return async (payload) => {
    const command = decodeMessage(commandSchema, topic, payload);
    if (answered.has(command.id) || (command.expires !== undefined && command.expires <= now())) return null;
    answered.add(command.id);
    if (answered.size > remembered) answered.delete(answered.values().next().value as string);
    return [command, await answer(command, handlers, now)];
  };
}

async function answer(command: Command, handlers: CommandHandlers, now: () => number): Promise<Reply> {
  const { id } = command;
  const known = Object.hasOwn(handlers, command.command);
  if (!known) {
    const message = `expected one of ${Object.keys(handlers).join(', ')}, got ${command.command}`;
    return { id, t: now(), ok: false, error: { code: 'AIOT_COMMAND_UNKNOWN', message } };
  }
  try {
    const result = await handlers[command.command as CommandName]();
    return { id, t: now(), ok: true, result };
  } catch (error) {
    const code = error instanceof AiotError ? error.code : 'AIOT_COMMAND_FAILED';
    const message = error instanceof Error ? error.message : String(error);
    return { id, t: now(), ok: false, error: { code, message } };
  }
}
