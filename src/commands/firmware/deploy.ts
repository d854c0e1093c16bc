import { Args } from '@oclif/core';
import { resolveFirmware } from '../../lib/api/firmware/fetch.js';
import { DeployCommand } from '../../lib/cli/deploy-command.js';

export default class FirmwareDeploy extends DeployCommand {
  static override summary = 'Deploy firmware in one wave and wait for the result.';
  static override description =
    'Each device verifies the signatures and boots the new firmware once. If the firmware does not come online, the device rolls back automatically. To roll back, deploy an older version: it is first signed again with your key. Exits with 3 if some devices failed, and with 1 if all did.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> motor@3 --selector all',
    "<%= config.bin %> <%= command.id %> motor --selector 'type=virtual and name=native-1' --timeout 5m",
  ];
  static override args = {
    firmware: Args.string({
      required: true,
      description: 'NAME@VERSION, or NAME or NAME@latest for the newest.',
    }),
  };

  async run() {
    const input = await this.input(FirmwareDeploy);
    return this.deploy(input, 'firmware', (client) => resolveFirmware(client, input.args.firmware));
  }
}
