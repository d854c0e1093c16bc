import { Args } from '@oclif/core';
import { resolveConfig } from '../../../lib/api/config/push.js';
import { DeployCommand } from '../../../lib/cli/deploy-command.js';

export default class DeviceConfigDeploy extends DeployCommand {
  static override summary = 'Deploy a configuration in one wave and wait for the result.';
  static override description =
    'Each device verifies the signatures and applies the new configuration. A device rolls back automatically if it cannot apply the configuration or reach its broker. To roll back, deploy an older version: it is first signed again with your key. Exits with 3 if some devices failed, and with 1 if all did.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> slow@2 --selector all',
    "<%= config.bin %> <%= command.id %> slow@1 --selector 'type=virtual and name=motor-1' --timeout 5m",
  ];
  static override args = {
    config: Args.string({
      required: true,
      description: 'NAME@VERSION, or NAME or NAME@latest for the newest.',
    }),
  };

  async run() {
    const input = await this.input(DeviceConfigDeploy);
    return this.deploy(input, 'config', (client) => resolveConfig(client, input.args.config));
  }
}
