import { Flags } from '@oclif/core';
import { contextFor } from '../../lib/api/context.js';
import { rootKeyFlag, rootValidFlag, trustOutFlag } from '../../lib/cli/flags/platform.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { trustChangeText } from '../../lib/cli/render/versions.js';
import { findKey, rotateTrust, trustChangeSchema } from '../../lib/provision/trust.js';

export default class TrustRevoke extends PlatformCommand {
  static override summary = 'Revoke a signing, timestamp or root key.';
  static override description =
    'Publishes a new root without the key. A signing or timestamp key is replaced by a new one. A root key is replaced only with --out; without it, enough root keys must remain.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --key 9f86d081 --root-key a.pem --root-key b.pem',
    '<%= config.bin %> <%= command.id %> --key 9f86d081 --root-key a.pem --root-key b.pem --out keys --json',
  ];
  static override flags = {
    key: Flags.string({
      summary: 'Key ID, or at least its first 8 digits.',
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
    const { key, out, expires: validMs, 'root-key': rootKeys } = input.flags;
    const { name: context } = await contextFor(input.flags.context);
    return this.ask(
      input,
      async (client) => {
        const { role, keyid } = await findKey(client, key);
        const signed = role === 'targets' ? ', and releases signed only with it are rejected' : '';
        await this.agreeToLose(
          `Revoke the ${role} key ${keyid.slice(0, 8)}? It is never valid again${signed}.`,
          input.flags.yes,
        );
        return rotateTrust({ client, context, validMs }, { role, rootKeys, out, only: keyid });
      },
      trustChangeText,
      () => ['aiot trust status'],
    );
  }
}
