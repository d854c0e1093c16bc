import { Args, Flags } from '@oclif/core';
import { contextFor, withClient } from '../../lib/api/context.js';
import { claimLifetimeMs } from '../../lib/api/contract/devices.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { duration, shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { bold, facts, minute, next } from '../../lib/cli/render/text.js';
import { shellWord } from '../../lib/core/text.js';
import { deviceType } from '../../lib/provision/chip-options.js';
import { madeClaimSchema, makeClaim } from '../../lib/provision/claim.js';

export default class DeviceClaim extends AiotCommand {
  static override summary = 'Register a device that generates its own key.';
  static override description =
    "Creates a one-time token for the device's certificate. Copy the file to the device and run aiot device activate DIR --claim FILE there. The token can be used once and expires after a day; a new token invalidates the previous one. With --chip-id, a platform started with aiot up --compat architects-guide also accepts a board that runs the architects-guide firmware and has this chip ID.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> gateway --type pi --out claim.json',
    '<%= config.bin %> <%= command.id %> motor-9 --type esp32 --chip-id 14333616 --json',
  ];
  static override args = { name: Args.string({ required: true, description: 'Device name.' }) };
  static override flags = {
    type: Flags.string({
      summary: 'Device type, used to match model releases.',
      default: 'pi',
      env: 'AIOT_TYPE',
    }),
    out: Flags.string({
      char: 'o',
      summary: 'File for the claim (mode 0600); without it, the claim is only printed.',
      env: 'AIOT_OUT',
      helpValue: 'FILE',
    }),
    expires: duration({
      summary: 'Validity period of the token [default: 24h].',
      env: 'AIOT_EXPIRES',
      ...claimLifetimeMs,
    }),
    mac: shared.mac,
    'chip-id': shared['chip-id'],
    context: shared.context,
  };
  static override result = madeClaimSchema;

  async run() {
    const input = await this.input(DeviceClaim);
    const { args, flags } = input;
    const { out, mac, expires: validMs, 'chip-id': chipId } = flags;
    const type = deviceType(flags.type);
    const context = await contextFor(flags.context);
    const claim = await withClient(context.name, (client) =>
      makeClaim({
        ...{ client, name: args.name, type, mac, chipId, caFile: context.ca, out },
        ...(validMs === undefined ? {} : { validMs }),
      }),
    );
    this.print(`${bold(claim.name)} is registered but has no certificate yet.`);
    this.print(
      facts([
        ['id', claim.id],
        ...(claim.chipId === null ? [] : ([['chip id', claim.chipId]] as [string, string][])),
        claim.file === null ? ['token', `${claim.token} (shown once)`] : ['claim', claim.file],
        ['valid until', `${minute(claim.expires)} UTC`],
      ]),
    );
    const at = again(input, 'context');
    const file = shellWord(claim.file ?? 'claim.json');
    this.suggest(next(`aiot device activate DIR --claim ${file}`, `aiot device show ${claim.name}${at}`));
    return claim;
  }
}
