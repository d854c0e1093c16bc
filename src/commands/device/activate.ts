import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { bold } from '../../lib/cli/render/style.js';
import { facts, next } from '../../lib/cli/render/text.js';
import { day } from '../../lib/cli/render/time.js';
import { shellWord } from '../../lib/core/text.js';
import { activateDevice, activatedSchema } from '../../lib/provision/claim.js';

export default class DeviceActivate extends AiotCommand {
  static override summary = 'On a device: claim its certificate, and tell the platform that it is there.';
  static override description =
    'With --claim the key is made here and stays here, and its certificate is got with the one-time token of aiot device claim. Without, the identity in the folder is used. When an answer was lost, repeat the command: the token is good for the same key again.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> ./gateway --claim claim.json',
    '<%= config.bin %> <%= command.id %> ./gateway --json',
  ];
  static override args = {
    dir: Args.string({ required: true, description: 'Folder of the identity; made when missing.' }),
  };
  static override flags = {
    claim: Flags.string({ summary: 'File of aiot device claim.', env: 'AIOT_CLAIM', helpValue: 'FILE' }),
  };
  static override result = activatedSchema;

  async run() {
    const { args, flags } = await this.input(DeviceActivate);
    const device = await activateDevice({ dir: args.dir, claim: flags.claim });
    const { fingerprint, expires } = device.certificate;
    this.print(`${bold(device.name)} is ${device.state}.`);
    this.print(
      facts([
        ['id', device.id],
        ['type', device.type],
        ['certificate', `${fingerprint}${device.claimed ? ', claimed now' : ''}`],
        ['valid until', day(expires)],
      ]),
    );
    this.print(next(`aiot device simulate ${shellWord(args.dir)}`));
    return device;
  }
}
