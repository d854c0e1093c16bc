import { shared } from '../../lib/cli/flags/shared.js';
import { identityFolder, RenewCommand, renewFlags } from '../../lib/cli/renew-command.js';

export default class DeviceReplace extends RenewCommand {
  static override summary = 'Replace a broken or lost board with another one.';
  static override description =
    "Pass --out to write the new identity to a folder, or --port to write it to a connected board. The new board takes over the name, the type and the assigned releases. The old board's certificate is revoked immediately. The old board's reports are not carried over. The new board keeps the old board's minimum release, so it rejects anything older.";
  static override flags = {
    out: identityFolder,
    mac: { ...shared.mac, summary: "The new board's MAC address, such as 24:0a:c4:12:34:56." },
    ...renewFlags,
  };

  async run() {
    const input = await this.input(DeviceReplace);
    return this.renew(
      input,
      { kind: 'replace', now: true, mac: input.flags.mac },
      'is now another board; the previous certificate is rejected.',
    );
  }
}
