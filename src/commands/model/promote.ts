import { Args, Flags } from '@oclif/core';
import { modelVersionSchema, stages } from '../../lib/api/api.js';
import { promoteModel } from '../../lib/api/reference.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { bold } from '../../lib/cli/render/text.js';

export default class ModelPromote extends PlatformCommand {
  static override summary = 'Move a model version to dev, staging or production.';
  static override description =
    'Staging requires that the evaluation met its limits. Production requires that a rollout of the version succeeded on every device. --reason overrides these gates, and is recorded. Only one version of each model can be in production: promoting another moves it back to staging.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> har@3 --to staging',
    "<%= config.bin %> <%= command.id %> har@3 --to production --reason 'tested on the bench'",
    '<%= config.bin %> <%= command.id %> har@production --to staging',
  ];
  static override args = {
    model: Args.string({
      required: true,
      description: 'NAME@VERSION, NAME@latest, NAME@staging, or NAME if the model has only one version.',
    }),
  };
  static override flags = {
    to: Flags.option({ options: stages })({
      summary: 'Target stage: the next higher one, or any lower one.',
      required: true,
      env: 'AIOT_TO',
      helpValue: 'STAGE',
    }),
    reason: Flags.string({
      summary: 'Reason for overriding a failed gate.',
      env: 'AIOT_REASON',
      helpValue: 'TEXT',
    }),
    context: shared.context,
  };
  static override result = modelVersionSchema;

  async run() {
    const input = await this.input(ModelPromote);
    const { to, reason } = input.flags;
    return this.ask(
      input,
      (client) => promoteModel(client, input.args.model, { to, reason }),
      ({ name, version, stage }) => `${bold(`${name}@${version}`)} is in ${stage}.`,
      ({ name, version, stage }) => {
        const onwards = {
          dev: `aiot model promote ${name}@${version} --to staging`,
          staging: `aiot model deploy ${name}@${version} --selector name=DEVICE`,
          production: `aiot model deploy ${name} --stage production --selector SELECTOR`,
        };
        return [onwards[stage], `aiot model show ${name}@${version}`];
      },
    );
  }
}
