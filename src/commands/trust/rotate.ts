import { Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { rootKeyFlag, rootValidFlag, trustOutFlag } from '../../lib/cli/flags/platform.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { next } from '../../lib/cli/render/text.js';
import { trustChangeText } from '../../lib/cli/render/versions.js';
import { rotateTrust, trustChangeSchema } from '../../lib/provision/trust.js';
import { contextFor, withClient } from '../../lib/registry/context.js';

export default class TrustRotate extends AiotCommand {
  static override summary = 'Replace the keys of a role in a new root.';
  static override description =
    'targets: a new signing key takes the place of this user’s; what the old one signed is taken no longer, so sign or push it again; with --targets-key and --threshold others have to sign, too. timestamp: the platform makes a new key. root: with --out new root keys, without it the same keys sign a root that is good for longer.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --role targets --root-key a.pem --root-key b.pem',
    '<%= config.bin %> <%= command.id %> --role targets --root-key a.pem --root-key b.pem --targets-key bob.pub --targets-key eve.pub --threshold 2',
    '<%= config.bin %> <%= command.id %> --role root --root-key a.pem --root-key b.pem --expires 365d --json',
  ];
  static override flags = {
    role: Flags.option({
      options: ['root', 'targets', 'timestamp'] as const,
      summary: 'Whose keys.',
      env: 'AIOT_ROLE',
      required: true,
    })(),
    'root-key': rootKeyFlag,
    out: trustOutFlag,
    'targets-key': Flags.string({
      summary:
        'Of targets: file with the public key (PEM) of another who may sign releases; as often as there are others.',
      env: 'AIOT_TARGETS_KEY',
      helpValue: 'FILE',
      multiple: true,
    }),
    threshold: Flags.integer({
      summary: 'Of targets: how many of them have to sign a release [default: as before].',
      env: 'AIOT_THRESHOLD',
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
    const at = again(input, 'context');
    const { role, out, threshold, expires: validMs, context: wanted } = input.flags;
    const { 'root-key': rootKeys, 'targets-key': targetsKeys } = input.flags;
    const lost = lostBy(role, out !== undefined);
    if (lost) await this.agreeToLose(lost, input.flags.yes);
    const { name: context } = await contextFor(wanted);
    const result = await withClient(context, (client) =>
      rotateTrust({ client, context, validMs }, { role, rootKeys, out, targetsKeys, threshold }),
    );
    this.print(trustChangeText(result));
    this.print(next(`aiot trust status${at}`));
    return result;
  }
}

/** Nothing where the same keys sign a root that is good for longer. */
function lostBy(role: 'root' | 'targets' | 'timestamp', newRoots: boolean): string | null {
  if (role === 'targets')
    return 'Replace the signing keys? What the ones before have signed is taken no longer, until it is signed again.';
  if (role === 'timestamp') return 'Replace the timestamp key? The one before counts no longer.';
  return newRoots ? 'Replace the root keys? The ones before count no longer.' : null;
}
