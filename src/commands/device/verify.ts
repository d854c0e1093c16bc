import { Args, Flags } from '@oclif/core';
import { withClient } from '../../lib/api/context.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { flashFlags, loaderOptions, ownPort } from '../../lib/cli/flags/boards.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { verifiedText } from '../../lib/cli/render/provisioned.js';
import { next } from '../../lib/cli/render/text.js';
import { foundInFolder, foundOnBoard } from '../../lib/device/onboard/verify-board.js';
import { readTrust } from '../../lib/model/publish/verify.js';
import { verifiedDeviceSchema, verifyDevice } from '../../lib/provision/birth.js';

export default class DeviceVerify extends AiotCommand {
  static override summary = 'Check a device against its signed birth certificate.';
  static override description =
    'The birth certificate is a record of the board, its certificate and its images, signed when it was provisioned. Checks the signatures, the device and its certificate in the registry. With --port, also checks the board (MAC, chip, partition table); with --files, the images in a folder. Lists each mismatch; exits with 6 if there is one.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> pump-7',
    '<%= config.bin %> <%= command.id %> pump-7 --port /dev/ttyUSB0 --json',
  ];
  static override args = { name: Args.string({ required: true, description: 'Device name.' }) };
  static override flags = {
    files: Flags.string({
      summary: "Folder of the device's images.",
      env: 'AIOT_FILES',
      helpValue: 'DIR',
      exclusive: ['port'],
    }),
    port: ownPort,
    ...flashFlags,
    trust: shared.trust,
    context: shared.context,
  };
  static override result = verifiedDeviceSchema;

  async run() {
    const input = await this.input(DeviceVerify);
    const { args, flags } = input;
    const { port, files } = flags;
    const loader = loaderOptions(flags, this.signal);
    const trust = await readTrust(flags);
    const verified = await withClient(flags.context, (client) =>
      verifyDevice(client, args.name, {
        trust,
        ...(port === undefined ? {} : { found: (birth) => foundOnBoard(port, loader, birth) }),
        ...(files === undefined ? {} : { found: (birth) => foundInFolder(files, birth) }),
      }),
    );
    this.print(verifiedText(verified));
    if (!verified.verified) this.exitsWith(6);
    const at = again(input, 'context');
    const show = `aiot device show ${args.name}${at}`;
    const revoked = verified.checks.some(({ check, passed }) => check === 'state' && !passed);
    this.suggest(next(verified.verified || revoked ? show : 'aiot error AIOT_BIRTH_MISMATCH'));
    return verified;
  }
}
