import { Args, Flags } from '@oclif/core';
import { stages } from '../../lib/api/api.js';
import { resolveModel } from '../../lib/api/reference.js';
import { DeployCommand } from '../../lib/cli/deploy-command.js';

export default class ModelDeploy extends DeployCommand {
  static override summary = 'Deploy a model in one wave and wait for the result.';
  static override description =
    'To roll back, deploy an older version: it is first signed again with your key. Exits with 3 if some devices failed, and with 1 if all did.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> har@3 --selector all',
    "<%= config.bin %> <%= command.id %> har@2 --selector 'type=virtual and name!=motor-1' --timeout 5m",
    '<%= config.bin %> <%= command.id %> har --stage production --selector all',
  ];
  static override args = {
    model: Args.string({
      required: true,
      description:
        'NAME@VERSION, NAME@latest or NAME@production. NAME alone works with --stage, or if the model has only one version.',
    }),
  };
  static override flags = {
    selector: DeployCommand.flags.selector,
    stage: Flags.option({ options: stages })({
      summary: 'Roll out the version of NAME that is in this stage.',
      env: 'AIOT_STAGE',
    }),
    timeout: DeployCommand.flags.timeout,
    context: DeployCommand.flags.context,
  };

  async run() {
    const input = await this.input(ModelDeploy);
    return this.deploy(input, 'model', (client) => resolveModel(client, input.args.model, input.flags.stage));
  }
}
