import { Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { rootValidFlag, trustOutFlag } from '../../lib/cli/flags/platform.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { next } from '../../lib/cli/render/text.js';
import { trustChangeText } from '../../lib/cli/render/versions.js';
import { initTrust, trustChangeSchema } from '../../lib/provision/trust.js';
import { contextFor, withClient } from '../../lib/registry/context.js';

export default class TrustInit extends AiotCommand {
  static override summary = 'Take the keys apart: root keys offline, releases, timestamps.';
  static override description =
    'Makes root keys that are needed only to replace keys, has the operator’s key sign releases alone, and the platform say with a key of its own what is newest. Put each root key on a medium of its own, in a place of its own; nothing is ever written over.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --keys 3 --threshold 2 --out /media/usb/keys',
    '<%= config.bin %> <%= command.id %> --out keys --json',
  ];
  static override flags = {
    keys: Flags.integer({ summary: 'How many root keys.', env: 'AIOT_KEYS', default: 3, min: 1, max: 16 }),
    threshold: Flags.integer({
      summary: 'How many of them a root wants.',
      env: 'AIOT_THRESHOLD',
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
    const at = again(input, 'context');
    const { keys, threshold, out, expires: validMs, context: wanted } = input.flags;
    const { name: context } = await contextFor(wanted);
    const result = await withClient(context, (client) =>
      initTrust({ client, context, validMs }, { keys, threshold, out: out ?? '.' }),
    );
    this.print(trustChangeText(result));
    this.print('Keep each of these files somewhere else than the others, and none of them on this machine.');
    this.print(next(`aiot trust status${at}`));
    return result;
  }
}
