import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { bold } from '../../lib/cli/render/style.js';
import { next } from '../../lib/cli/render/text.js';
import { modelVersionSchema, stages } from '../../lib/registry/api.js';
import { withClient } from '../../lib/registry/context.js';
import { promoteModel } from '../../lib/registry/reference.js';

export default class ModelPromote extends AiotCommand {
  static override summary = 'Move a version from dev to staging to production, or back.';
  static override description =
    'Staging wants the limits of the evaluation kept; production wants a rollout of the version that every device of it took. --reason stands in for that, and is written down. One version of a name is in production: the one before it goes back to staging.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> har@3 --to staging',
    "<%= config.bin %> <%= command.id %> har@3 --to production --reason 'tried on the bench'",
    '<%= config.bin %> <%= command.id %> har@production --to staging',
  ];
  static override args = {
    model: Args.string({ required: true, description: 'NAME@VERSION, NAME@latest, NAME@staging, or NAME.' }),
  };
  static override flags = {
    to: Flags.option({ options: stages })({
      summary: 'Stage: one up, or any below.',
      required: true,
      env: 'AIOT_TO',
    }),
    reason: Flags.string({
      summary: 'Why it may go on although a gate says no.',
      env: 'AIOT_REASON',
      helpValue: 'TEXT',
    }),
    context: shared.context,
  };
  static override result = modelVersionSchema;

  async run() {
    const input = await this.input(ModelPromote);
    const { args, flags } = input;
    const at = again(input, 'context');
    const { to, reason } = flags;
    const card = await withClient(flags.context, (client) =>
      promoteModel(client, args.model, { to, reason }),
    );
    const id = `${card.name}@${card.version}`;
    this.print(`${bold(id)} is in ${card.stage}.`);
    const onwards = {
      dev: `aiot model promote ${id} --to staging${at}`,
      staging: `aiot model deploy ${id} --to name=DEVICE${at}`,
      production: `aiot model deploy ${card.name} --stage production --to all${at}`,
    };
    this.print(next(onwards[card.stage], `aiot model show ${id}${at}`));
    return card;
  }
}
