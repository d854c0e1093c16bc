import { Args, Flags } from '@oclif/core';
import * as z from 'zod';
import { withClient } from '../../lib/api/context.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { bold } from '../../lib/cli/render/text.js';
import { plural } from '../../lib/core/figures.js';
import { labelDevices } from '../../lib/provision/labels.js';

export default class DeviceLabels extends AiotCommand {
  static override summary = 'Create printable device labels with QR codes.';
  static override description =
    'A label shows the name, type, chip ID, MAC and certificate. Without NAME, creates labels for all devices that have a certificate. An SVG file is a roll of 50 × 25 mm labels; a PDF has A4 sheets. Labels contain no secrets.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --out labels.pdf',
    '<%= config.bin %> <%= command.id %> pump-7 pump-8 --out labels.svg --json',
  ];
  static override strict = false;
  static override args = {
    name: Args.string({ description: 'Names of devices [default: all that have a certificate].' }),
  };
  static override flags = {
    out: Flags.string({
      char: 'o',
      summary: 'File for the labels, .svg or .pdf.',
      required: true,
      env: 'AIOT_OUT',
      helpValue: 'FILE',
    }),
    context: shared.context,
  };
  static override result = z.object({ file: z.string(), devices: z.array(z.string()) });

  async run() {
    const { flags, words } = await this.input(DeviceLabels);
    const { out, context } = flags;
    const devices = await withClient(context, (client) => labelDevices({ client, names: words, out }));
    this.print(`${plural(devices.length, 'label')} in ${bold(out)}.`);
    return { file: out, devices };
  }
}
