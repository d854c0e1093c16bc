import { Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { rootKeyFlag, rootValidFlag, trustOutFlag } from '../../lib/cli/flags/platform.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { next } from '../../lib/cli/render/text.js';
import { trustChangeText } from '../../lib/cli/render/versions.js';
import { findKey, rotateTrust, trustChangeSchema } from '../../lib/provision/trust.js';
import { contextFor, withClient } from '../../lib/registry/context.js';

export default class TrustRevoke extends AiotCommand {
  static override summary = 'Have one key count no longer.';
  static override description =
    'A new root leaves it out. In the place of a signing or timestamp key a new one is made; in that of a root key with --out alone, as long as enough are left without it.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --key 9f86d081 --root-key a.pem --root-key b.pem',
    '<%= config.bin %> <%= command.id %> --key 9f86d081 --root-key a.pem --root-key b.pem --out keys --json',
  ];
  static override flags = {
    key: Flags.string({
      summary: 'Id of the key, or its first 8 digits.',
      env: 'AIOT_KEY',
      helpValue: 'ID',
      required: true,
    }),
    'root-key': rootKeyFlag,
    out: trustOutFlag,
    expires: rootValidFlag,
    yes: shared.yes,
    context: shared.context,
  };
  static override result = trustChangeSchema;

  async run() {
    const input = await this.input(TrustRevoke);
    const at = again(input, 'context');
    const { key, out, expires: validMs, 'root-key': rootKeys, context: wanted } = input.flags;
    const { name: context } = await contextFor(wanted);
    const result = await withClient(context, async (client) => {
      const { role, keyid } = await findKey(client, key);
      const signed = role === 'targets' ? ', and what it alone has signed is taken no longer' : '';
      await this.agreeToLose(
        `Revoke the ${role} key ${keyid.slice(0, 8)}? It never counts again${signed}.`,
        input.flags.yes,
      );
      return rotateTrust({ client, context, validMs }, { role, rootKeys, out, only: keyid });
    });
    this.print(trustChangeText(result));
    this.print(next(`aiot trust status${at}`));
    return result;
  }
}
