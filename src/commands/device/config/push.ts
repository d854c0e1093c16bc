import { Args, Flags } from '@oclif/core';
import { pushConfig, pushedConfigSchema } from '../../../lib/api/config/push.js';
import { contextFor } from '../../../lib/api/context.js';
import { releaseFlags } from '../../../lib/cli/flags/rollouts.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../../lib/cli/platform-command.js';
import { bold } from '../../../lib/cli/render/text.js';
import { configFacts } from '../../../lib/cli/render/versions.js';
import { operatorKey } from '../../../lib/provision/operator-key.js';

export default class DeviceConfigPush extends PlatformCommand {
  static override summary = 'Check a device configuration, sign it and push it.';
  static override description =
    'FILE is JSON, such as {"spec":"aiot-config/1","sampleHz":50,"report":{"intervalMs":60000}}. For all fields, run aiot docs protocol#configuration.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> slow.json --name slow',
    '<%= config.bin %> <%= command.id %> pump.json --name pump --types esp32,virtual --json',
  ];
  static override args = {
    file: Args.string({ required: true, description: 'JSON file with the configuration.' }),
  };
  static override flags = {
    name: Flags.string({ summary: 'Configuration name.', required: true, env: 'AIOT_NAME' }),
    ...releaseFlags(['virtual', 'esp32', 'esp32s3', 'esp32c3']),
    context: shared.context,
  };
  static override result = pushedConfigSchema;

  async run() {
    const input = await this.input(DeviceConfigPush);
    const { args, flags } = input;
    const context = await contextFor(flags.context);
    const privatePem = await operatorKey(context.name);
    const deviceTypes = flags.types.split(',').map((type) => type.trim());
    const asked = { privatePem, deviceTypes, path: args.file, name: flags.name, validMs: flags.expires };
    return this.ask(
      input,
      (client) => pushConfig({ client, ...asked }),
      (pushed) =>
        `Pushed ${bold(`${pushed.name}@${pushed.version}`)} to ${context.url}.\n${configFacts(pushed)}`,
      ({ name, version }) => [`aiot device config deploy ${name}@${version} --selector all`],
    );
  }
}
