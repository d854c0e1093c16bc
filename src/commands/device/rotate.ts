import { Flags } from '@oclif/core';
import { identityFolder, RenewCommand, renewFlags } from '../../lib/cli/renew-command.js';

export default class DeviceRotate extends RenewCommand {
  static override summary = "Replace a device's certificate and key.";
  static override description =
    'Pass --out to write the new identity to a folder, or --port to write it to a connected board. The current certificate stays valid until the new one is first used, so a device that is offline is not locked out. With --now, it is revoked immediately. On a chip, the rest of the NVS is kept: Wi-Fi, settings and committed releases.';
  static override flags = {
    out: identityFolder,
    now: Flags.boolean({
      summary: 'Revoke the current certificate immediately, for example if its key may have been stolen.',
      env: 'AIOT_NOW',
    }),
    ...renewFlags,
  };

  async run() {
    const input = await this.input(DeviceRotate);
    return this.renew(
      input,
      { kind: 'rotate', now: input.flags.now, mac: undefined },
      'has a new certificate.',
    );
  }
}
