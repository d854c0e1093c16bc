import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { releaseFlags } from '../../../lib/cli/flags/rollouts.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { again } from '../../../lib/cli/invocation.js';
import { bold } from '../../../lib/cli/render/style.js';
import { next } from '../../../lib/cli/render/text.js';
import { configFacts } from '../../../lib/cli/render/versions.js';
import { operatorKey } from '../../../lib/provision/operator-key.js';
import { pushConfig, pushedConfigSchema } from '../../../lib/registry/config/push.js';
import { contextFor, withClient } from '../../../lib/registry/context.js';

export default class DeviceConfigPush extends AiotCommand {
  static override summary = 'Check a configuration of devices, sign it here, and put it into the registry.';
  static override description =
    'FILE is JSON, such as {"spec":"aiot-config/1","sampleHz":50,"report":{"intervalMs":60000}}; docs/protocol.md#configuration tells what may be in it.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> slow.json --name slow',
    '<%= config.bin %> <%= command.id %> pump.json --name pump --types esp32,virtual --json',
  ];
  static override args = {
    file: Args.string({ required: true, description: 'A document of JSON.' }),
  };
  static override flags = {
    name: Flags.string({ summary: 'Name of the configuration.', required: true, env: 'AIOT_NAME' }),
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
    const pushed = await withClient(context.name, (client) =>
      pushConfig({
        client,
        privatePem,
        deviceTypes,
        path: args.file,
        name: flags.name,
        validMs: flags.expires,
      }),
    );
    const what = `${pushed.name}@${pushed.version}`;
    this.print(`${bold(what)} is pushed to ${context.url}.\n${configFacts(pushed)}`);
    this.print(next(`aiot device config deploy ${what} --to all${again(input, 'context')}`));
    return pushed;
  }
}
