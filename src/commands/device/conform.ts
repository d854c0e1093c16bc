import { Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { selectorTexts } from '../../lib/cli/flags/fleet.js';
import { duration, shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { conformityCases, junitReport } from '../../lib/cli/junit.js';
import { conformityText } from '../../lib/cli/render/fleet.js';
import { next } from '../../lib/cli/render/text.js';
import { conformDevice, conformitySchema } from '../../lib/device/conform/conform.js';

export default class DeviceConform extends AiotCommand {
  static override summary = 'Run the protocol v1 conformance checks against a device.';
  static override description =
    'The device (virtual, native or a board) must be online. The checks send commands to the device, offer invalid updates that it must reject, and restart it once. Each check names its section of the protocol; run aiot docs protocol to read it. The device keeps its software, unless --model names a release to install. No retained messages are left on the broker. Exits with 6 if a check failed.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --selector motor-1',
    '<%= config.bin %> <%= command.id %> --selector motor-1 --json',
    '<%= config.bin %> <%= command.id %> --selector motor-1 --model motor@3 --for 30s',
  ];
  static override flags = {
    selector: Flags.string({
      ...selectorTexts,
      summary: 'Device to check: its name, or a selector that matches only it. It must be online.',
      required: true,
    }),
    model: Flags.string({
      summary: 'Release to install, to check a complete update.',
      env: 'AIOT_MODEL',
      helpValue: 'NAME@VERSION',
    }),
    for: duration({
      summary: "Minimum time to listen for the device's telemetry and predictions.",
      env: 'AIOT_FOR',
      default: 3000,
    }),
    timeout: duration({
      summary: 'Time limit for a restart or an update.',
      env: 'AIOT_TIMEOUT',
      default: 30_000,
    }),
    junit: shared.junit,
    context: shared.context,
  };
  static override result = conformitySchema;

  async run() {
    const input = await this.input(DeviceConform);
    const { selector, context, for: forMs, timeout: patienceMs, model } = input.flags;
    const junit = await junitReport(input.flags.junit, 'device conform');
    const stages = this.stages();
    const result = await conformDevice({
      ...{ selector, context, model, forMs, patienceMs, signal: this.signal },
      onCheck: ({ id, done, total }) => stages({ text: id, done, total }),
    });
    await junit(conformityCases(result));
    this.print(conformityText(result));
    if (!result.conforms) this.exitsWith(6);
    this.suggest(next(`aiot device show ${result.device}${again(input, 'context')}`));
    return result;
  }
}
