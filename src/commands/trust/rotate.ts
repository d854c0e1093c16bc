import { Flags } from '@oclif/core';
import { contextFor } from '../../lib/api/context.js';
import { rootKeyFlag, rootValidFlag, trustOutFlag } from '../../lib/cli/flags/platform.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { trustChangeText } from '../../lib/cli/render/versions.js';
import { rotateTrust, trustChangeSchema } from '../../lib/provision/trust.js';

export default class TrustRotate extends PlatformCommand {
  static override summary = 'Replace the keys of a trust role.';
  static override description =
    'Publishes a new root. Roles:\n- targets: a new signing key replaces yours. Releases signed with the old key are rejected until you sign or push them again. With --targets-key and --threshold, other people must sign too.\n- timestamp: the platform creates a new key.\n- root: with --out, new root keys replace the old ones. Without --out, the same keys sign a root that expires later.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --role targets --root-key a.pem --root-key b.pem',
    '<%= config.bin %> <%= command.id %> --role targets --root-key a.pem --root-key b.pem --targets-key bob.pub --targets-key eve.pub --threshold 2',
    '<%= config.bin %> <%= command.id %> --role root --root-key a.pem --root-key b.pem --expires 365d --json',
  ];
  static override flags = {
    role: Flags.option({
      options: ['root', 'targets', 'timestamp'] as const,
      summary: 'Role whose keys are replaced.',
      env: 'AIOT_ROLE',
      required: true,
    })(),
    'root-key': rootKeyFlag,
    out: trustOutFlag,
    'targets-key': Flags.string({
      summary: 'For targets: public key file (PEM) of another signer. Repeatable.',
      env: 'AIOT_TARGETS_KEY',
      helpValue: 'FILE',
      multiple: true,
    }),
    threshold: Flags.integer({
      summary: 'For targets: number of signatures that a release needs [default: unchanged].',
      env: 'AIOT_THRESHOLD',
      helpValue: 'N',
      min: 1,
      max: 8,
    }),
    expires: rootValidFlag,
    yes: shared.yes,
    context: shared.context,
  };
  static override result = trustChangeSchema;

  async run() {
    const input = await this.input(TrustRotate);
    const { role, out, threshold, expires: validMs } = input.flags;
    const { 'root-key': rootKeys, 'targets-key': targetsKeys } = input.flags;
    const lost = lostBy(role, out !== undefined);
    if (lost) await this.agreeToLose(lost, input.flags.yes);
    const { name: context } = await contextFor(input.flags.context);
    return this.ask(
      input,
      (client) => rotateTrust({ client, context, validMs }, { role, rootKeys, out, targetsKeys, threshold }),
      trustChangeText,
      () => ['aiot trust status'],
    );
  }
}

/** The confirmation question; null if the root keys stay the same and only the validity is extended. */
function lostBy(role: 'root' | 'targets' | 'timestamp', newRoots: boolean): string | null {
  if (role === 'targets')
    return 'Replace the signing keys? Releases signed with the old ones are rejected until they are signed again.';
  if (role === 'timestamp') return 'Replace the timestamp key? The old one becomes invalid.';
  return newRoots ? 'Replace the root keys? The old ones become invalid.' : null;
}
