import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { enrollFlags } from '../../lib/cli/flags/batches.js';
import { duration, shared } from '../../lib/cli/flags/shared.js';
import { enrollNotes } from '../../lib/cli/render/batches.js';
import { simulateCommand } from '../../lib/cli/render/provisioned.js';
import { bold, day, facts, next } from '../../lib/cli/render/text.js';
import { shellWord } from '../../lib/core/text.js';
import { suitableSource } from '../../lib/device/telemetry/sensor.js';
import { enrollDevice } from '../../lib/provision/batch.js';
import { activateDevice, activatedSchema } from '../../lib/provision/claim.js';

export default class DeviceActivate extends AiotCommand {
  static override summary = 'Activate a device: claim its certificate and connect it.';
  static override description =
    'Run this command on the device. With --claim, the device generates its own key and gets a certificate with the one-time token from aiot device claim. With --batch, it asks for a certificate with the key of its batch, and waits until it is approved. Without either, it uses the identity in the folder. If the connection fails midway, run the command again: the token stays valid for the same key.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> ./gateway --claim claim.json',
    '<%= config.bin %> <%= command.id %> ./gateway --batch batch.json --serial A7-0001 --timeout 1h',
    '<%= config.bin %> <%= command.id %> ./gateway --json',
  ];
  static override args = {
    dir: Args.string({ required: true, description: 'Identity folder; created if missing.' }),
  };
  static override flags = {
    claim: Flags.string({
      summary: 'Claim file from aiot device claim.',
      env: 'AIOT_CLAIM',
      helpValue: 'FILE',
      exclusive: ['batch'],
    }),
    ...enrollFlags,
    mac: shared.mac,
    timeout: duration({
      summary: 'With --batch: exit with 124 after waiting this long.',
      env: 'AIOT_TIMEOUT',
    }),
  };
  static override result = activatedSchema;

  async run() {
    const { args, flags } = await this.input(DeviceActivate);
    const { batch, serial, mac, timeout: timeoutMs } = flags;
    const notes = enrollNotes((text) => this.note(text));
    const enrolled = { dir: args.dir, serial, mac, timeoutMs, signal: this.signal, ...notes };
    const files = batch === undefined ? [] : await enrollDevice({ ...enrolled, batch });
    const activated = await activateDevice({ dir: args.dir, claim: flags.claim });
    const device = files.length === 0 ? activated : { ...activated, claimed: true, files };
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
    this.suggest(next(simulateCommand(shellWord(args.dir), await suitableSource())));
    return device;
  }
}
