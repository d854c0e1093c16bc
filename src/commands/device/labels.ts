import { Args, Flags } from '@oclif/core';
import * as z from 'zod';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { bold } from '../../lib/cli/render/style.js';
import { plural } from '../../lib/core/figures.js';
import { labelDevices } from '../../lib/provision/labels.js';
import { withClient } from '../../lib/registry/context.js';

export default class DeviceLabels extends AiotCommand {
  static override summary = 'Write labels for printing: name, type, chip id, MAC, certificate, QR code.';
  static override description =
    'Of the devices named, or of all that have a certificate. An SVG is a roll of 50 × 25 mm, a PDF sheets of A4. Nothing on a label is secret.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --out labels.pdf',
    '<%= config.bin %> <%= command.id %> pump-7 pump-8 --out labels.svg --json',
  ];
  static override strict = false;
  static override args = {
    name: Args.string({ description: 'Names of devices, any number; all when absent.' }),
  };
  static override flags = {
    out: Flags.string({
      char: 'o',
      summary: 'File of the labels, .svg or .pdf.',
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
