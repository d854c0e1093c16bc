import { Flags } from '@oclif/core';
import type { RegistryClient } from '../api/client.js';
import { contextFor } from '../api/context.js';
import { deploy, deployedSchema, rolloutExit } from '../api/rollouts/deploy.js';
import { releaseOf } from '../api/rollouts/release.js';
import type { RolloutKind } from '../api/rollouts/schema.js';
import { operatorKey } from '../provision/operator-key.js';
import { selectorTexts } from './flags/fleet.js';
import { shared } from './flags/shared.js';
import { PlatformCommand, type PlatformInput } from './platform-command.js';
import { deployedText, deployNotes } from './render/rollout.js';

interface DeployInput extends PlatformInput {
  flags: { selector: string; timeout?: number | undefined; context?: string | undefined };
}

/** Base of the commands that roll out one version of an artifact in a single wave, and wait for it. */
export abstract class DeployCommand extends PlatformCommand {
  static override flags = {
    selector: Flags.string({ ...selectorTexts, required: true }),
    timeout: {
      ...shared.timeout,
      summary: 'Time after which a device that has not finished counts as failed [default: 10m].',
    },
    context: shared.context,
  };
  static override result = deployedSchema;

  /** @param resolve finds the version that the user requested */
  protected async deploy(
    input: DeployInput,
    kind: RolloutKind,
    resolve: (client: RegistryClient) => Promise<{ name: string; version: number }>,
  ) {
    const { selector, timeout, context } = input.flags;
    const { name } = await contextFor(context);
    const rollout = await this.ask(
      input,
      async (client) =>
        deploy({
          release: await releaseOf(
            { client, signingKey: () => operatorKey(name), now: Date.now() },
            kind,
            await resolve(client),
          ),
          ...{ client, selector, deadlineMs: timeout, signal: this.signal },
          ...deployNotes((line) => this.note(line)),
        }),
      deployedText,
      ({ id }) => ['aiot device list', `aiot rollout show ${id}`],
    );
    const code = rolloutExit(rollout);
    if (code !== 0) this.exitsWith(code);
    return rollout;
  }
}
