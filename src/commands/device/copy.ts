import { Args } from '@oclif/core';
import { withClient } from '../../lib/api/context.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { remoteTime } from '../../lib/cli/flags/fleet.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { copiedText } from '../../lib/cli/render/fleet.js';
import { copiedSchema, copyFile } from '../../lib/device/remote/operate.js';

export default class DeviceCopy extends AiotCommand {
  static override summary = 'Copy a file from a Linux device, or to it.';
  static override description =
    'Works through the platform if the device runs aiot device agent with --allow copy=FOLDER for a folder that contains the file. An existing file is replaced once the new one has arrived completely. The platform records the session in the audit log.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> pi-1:/var/log/syslog syslog',
    '<%= config.bin %> <%= command.id %> settings.json pi-1:/srv/app/settings.json --json',
  ];
  static override args = {
    from: Args.string({ required: true, description: 'File, or DEVICE:/PATH.' }),
    to: Args.string({ required: true, description: 'File, or DEVICE:/PATH.' }),
  };
  static override flags = { for: remoteTime, context: shared.context };
  static override result = copiedSchema;

  async run() {
    const { args, flags } = await this.input(DeviceCopy);
    const onProgress = (done: number, total: number) =>
      this.progress().update({ text: 'bytes', done, total });
    const result = await withClient(flags.context, (client) =>
      copyFile({ client, ...args, forMs: flags.for, signal: this.signal, onProgress }),
    );
    this.print(copiedText(result));
    return result;
  }
}
