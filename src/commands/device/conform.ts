import { Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { duration, shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { conformityCases, junitReport } from '../../lib/cli/junit.js';
import { conformityText } from '../../lib/cli/render/fleet.js';
import { next } from '../../lib/cli/render/text.js';
import { conformDevice, conformitySchema } from '../../lib/device/conform/conform.js';

export default class DeviceConform extends AiotCommand {
  static override summary = 'Hold a device to protocol v1, check by check.';
  static override description =
    'The device is one that is online at the platform: virtual, native or a board. It is asked commands, sent wishes that it has to refuse, and restarted once; each check names what docs/protocol.md asks for. What it runs stays, unless --model names a release that is really installed. Nothing stays retained. The exit code is 6 where a check failed.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --device motor-1',
    '<%= config.bin %> <%= command.id %> --device motor-1 --json',
    '<%= config.bin %> <%= command.id %> --device motor-1 --model motor@3 --for 30s',
  ];
  static override flags = {
    device: Flags.string({
      summary: 'The device, which is online.',
      required: true,
      env: 'AIOT_DEVICE',
      helpValue: 'NAME',
    }),
    model: Flags.string({
      summary: 'A release to install, so that a whole update is looked at.',
      env: 'AIOT_MODEL',
      helpValue: 'NAME@VERSION',
    }),
    for: duration({
      summary: 'Listen to it so long at least, for its telemetry and answers.',
      env: 'AIOT_FOR',
      default: 3000,
    }),
    timeout: duration({
      summary: 'How long a restart or an update may take.',
      env: 'AIOT_TIMEOUT',
      default: 30_000,
    }),
    junit: shared.junit,
    context: shared.context,
  };
  static override result = conformitySchema;

  async run() {
    const input = await this.input(DeviceConform);
    const { device, context, for: forMs, timeout: patienceMs, model } = input.flags;
    const junit = await junitReport(input.flags.junit, 'device conform');
    const stages = this.stages();
    const result = await conformDevice({
      ...{ device, context, model, forMs, patienceMs, signal: this.signal },
      onCheck: ({ id, done, total }) => stages({ text: id, done, total }),
    });
    await junit(conformityCases(result));
    this.print(conformityText(result));
    if (!result.conforms) this.exitsWith(6);
    this.print(next(`aiot device show ${device}${again(input, 'context')}`));
    return result;
  }
}
