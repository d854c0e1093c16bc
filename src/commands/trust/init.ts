import { Flags } from '@oclif/core';
import { contextFor } from '../../lib/api/context.js';
import { rootValidFlag, trustOutFlag } from '../../lib/cli/flags/platform.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { trustChangeText } from '../../lib/cli/render/versions.js';
import { initTrust, trustChangeSchema } from '../../lib/provision/trust.js';

export default class TrustInit extends PlatformCommand {
  static override summary = 'Split signing keys into offline root keys and online keys.';
  static override description =
    "Creates root keys that are needed only to replace other keys. The operator's key then signs only releases, and the platform signs timestamps with its own key. Store each root key on separate media in a separate place. Existing files are never overwritten.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> --keys 3 --threshold 2 --out /media/usb/keys',
    '<%= config.bin %> <%= command.id %> --out keys --json',
  ];
  static override flags = {
    keys: Flags.integer({
      summary: 'Number of root keys.',
      env: 'AIOT_KEYS',
      helpValue: 'N',
      default: 3,
      min: 1,
      max: 16,
    }),
    threshold: Flags.integer({
      summary: 'Number of root keys that must sign a new root.',
      env: 'AIOT_THRESHOLD',
      helpValue: 'N',
      default: 2,
      min: 1,
      max: 16,
    }),
    out: { ...trustOutFlag, required: true as const },
    expires: rootValidFlag,
    context: shared.context,
  };
  static override result = trustChangeSchema;

  async run() {
    const input = await this.input(TrustInit);
    const { keys, threshold, out = '.', expires: validMs } = input.flags;
    const { name: context } = await contextFor(input.flags.context);
    return this.ask(
      input,
      (client) => initTrust({ client, context, validMs }, { keys, threshold, out }),
      (change) =>
        `${trustChangeText(change)}\nStore each of these files in a different place, and none of them on this machine.`,
      () => ['aiot trust status'],
    );
  }
}
