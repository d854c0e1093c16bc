import { Args, Flags } from '@oclif/core';
import * as z from 'zod';
import { contextFor, withClient, withGuide } from '../../lib/api/context.js';
import { guideProvisionedSchema, provisionAtGuide } from '../../lib/api/guide/provision.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { flashFlags, imageAsked, imageFlags, loaderOptions, ownPort } from '../../lib/cli/flags/boards.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import {
  afterProvisioning,
  fleetText,
  provisionedText,
  provisionWarnings,
} from '../../lib/cli/render/provisioned.js';
import { next } from '../../lib/cli/render/text.js';
import { guideProvisionedText } from '../../lib/cli/render/versions.js';
import { unless } from '../../lib/core/errors.js';
import { onboardedSchema } from '../../lib/device/onboard/onboard.js';
import { provision, typeCaution } from '../../lib/device/onboard/provision.js';
import { suitableSource } from '../../lib/device/telemetry/sensor.js';
import { operatorKey } from '../../lib/provision/operator-key.js';
import { provisionedDeviceSchema } from '../../lib/provision/provision.js';
import { fleetResultSchema } from '../../lib/provision/provision-fleet.js';

export default class DeviceProvision extends AiotCommand {
  static override summary = 'Register a device and create its identity.';
  static override description =
    "The identity is written to a folder or directly to a board. The private key is generated on this machine and never uploaded. For a chip, the key is only in the NVS image. For a computer, the key is in the folder: copy it to the device and nowhere else. The operator's key signs a birth certificate, a record of the device that the platform stores. On an installation of the architects-guide services (`aiot context add --kind architects-guide`), a device is identified only by its chip ID.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> motor-1 --type virtual --out ./motor-1',
    '<%= config.bin %> <%= command.id %> pump-7 --port /dev/ttyUSB0 --wifi-ssid plant --wifi-password-file wifi.txt',
    '<%= config.bin %> <%= command.id %> --csv fleet.csv --out ./fleet --jobs 4 --json',
  ];
  static override args = { name: Args.string({ description: 'Device name, instead of --csv.' }) };
  static override flags = {
    type: Flags.string({
      summary: "Device type, used to match model releases [default: the board's chip, else virtual].",
      env: 'AIOT_TYPE',
    }),
    out: Flags.string({
      char: 'o',
      summary: 'Folder for the identity or the images; created if missing.',
      env: 'AIOT_OUT',
      helpValue: 'DIR',
    }),
    csv: Flags.string({
      summary: 'CSV file of devices: name, type, chip, mac, chip-id, ssid, password.',
      env: 'AIOT_CSV',
      helpValue: 'FILE',
    }),
    jobs: Flags.integer({
      summary: 'Number of --csv devices to provision at a time.',
      default: 4,
      min: 1,
      max: 64,
      env: 'AIOT_JOBS',
      helpValue: 'N',
    }),
    labels: Flags.string({
      summary: 'Write printable labels with QR codes to this file, .svg or .pdf.',
      env: 'AIOT_LABELS',
      helpValue: 'FILE',
    }),
    mac: shared.mac,
    'chip-id': shared['chip-id'],
    port: ownPort,
    ...flashFlags,
    ...imageFlags,
    context: shared.context,
  };
  static override result = z.union([
    onboardedSchema,
    provisionedDeviceSchema,
    fleetResultSchema,
    guideProvisionedSchema,
  ]);

  async run() {
    const input = await this.input(DeviceProvision);
    const { args, flags } = input;
    const at = again(input, 'context');
    const context = await contextFor(flags.context);
    const { type, out, csv, jobs, mac, port, labels } = flags;
    if (context.kind === 'architects-guide') {
      const board = { mac, chipId: flags['chip-id'] };
      const known = await withGuide(context, (client) => provisionAtGuide(client, board));
      this.print(guideProvisionedText(known));
      return known;
    }
    const privatePem = (await unless('AIOT_KEY_NOT_FOUND', operatorKey(context.name))) ?? null;
    const result = await withClient(context.name, async (client) => {
      // If the user names the chip with --chip, an unusual type is intentional.
      const caution = type && flags.chip === 'auto' ? await typeCaution(client, type) : undefined;
      if (caution !== undefined) this.caution(caution);
      return await provision({
        ...{ client, name: args.name, type, out, csv, jobs, mac, port, labels, privatePem },
        chip: flags.chip === 'auto' ? undefined : flags.chip,
        context: context.name,
        chipId: flags['chip-id'],
        loader: loaderOptions(flags, this.signal),
        image: imageAsked(flags),
        signal: this.signal,
        // For a file of devices, the number of finished devices is shown instead of stages.
        onStage: this.stages({ list: csv === undefined }),
      });
    });
    for (const warning of provisionWarnings(result)) this.caution(warning);
    if ('devices' in result) {
      this.print(fleetText(result));
      if (result.failed.length > 0) this.exitsWith(result.devices.length > 0 ? 3 : 1);
    } else this.print(provisionedText(result, 'is registered.'));
    this.suggest(
      next(...afterProvisioning(result, { folder: out, port, at, source: await suitableSource() })),
    );
    return result;
  }
}
