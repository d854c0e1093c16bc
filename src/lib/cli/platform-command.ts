import type { RegistryClient } from '../api/client.js';
import { withClient } from '../api/context.js';
import { AiotCommand } from './command.js';
import { again } from './invocation.js';
import { next } from './render/text.js';

/** A parsed command line. */
export interface PlatformInput {
  flags: { context?: string | undefined };
  given: (flag: string) => boolean;
}

/** Base of the commands that send one request to the current platform, and show its response. */
export abstract class PlatformCommand extends AiotCommand {
  // To write its manifest, oclif looks for a static member in each class of the inheritance chain, and stops at the first class without it.
  // The member is therefore repeated here.
  static override baseFlags = AiotCommand.baseFlags;

  /**
   * @param call sends the request
   * @param text formats the response for people
   * @param then suggested next commands, without the --context flag; none if nothing follows
   */
  protected async ask<T>(
    input: PlatformInput,
    call: (client: RegistryClient) => Promise<T>,
    text: (answer: T) => string,
    then: (answer: T) => string[],
  ): Promise<T> {
    const answer = await withClient(input.flags.context, call);
    this.print(text(answer));
    const at = again(input, 'context');
    const commands = then(answer).map((command) => `${command}${at}`);
    if (commands.length > 0) this.suggest(next(...commands));
    return answer;
  }
}
