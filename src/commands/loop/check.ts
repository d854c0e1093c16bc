import { Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { brokerFlags, brokerOptions } from '../../lib/cli/flags/brokers.js';
import { loopFlags } from '../../lib/cli/flags/projects.js';
import { duration, shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { checkedLoopText } from '../../lib/cli/render/loop.js';
import { next } from '../../lib/cli/render/text.js';
import { checkedLoopSchema, checkLoop } from '../../lib/loop/operate/check.js';

export default class LoopCheck extends AiotCommand {
  static override summary = 'Check whether a loop can run on this machine.';
  static override description =
    'Checks the bus, sensor, permissions, rate, model, outputs, disk and clock. Each failed check prints how to fix it. Sends nothing, and changes nothing, except that --simulate may train and cache a model. Exits with 6 if a check fails; warnings do not count.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --project motion',
    "<%= config.bin %> <%= command.id %> --sensor 'i2c://1/lsm6ds3tr-c' --out nats://127.0.0.1/output",
    '<%= config.bin %> <%= command.id %> --simulate --json',
  ];
  static override flags = {
    project: shared.project,
    name: loopFlags.name,
    sensor: loopFlags.sensor,
    simulate: Flags.boolean({
      summary: 'Use a simulated sensor; if no model exists, train one and cache it.',
      env: 'AIOT_SIMULATE',
      exclusive: ['sensor'],
    }),
    model: loopFlags.model,
    out: loopFlags.out,
    for: duration({
      summary: 'Time to listen to the sensor.',
      env: 'AIOT_FOR',
      default: 2000,
    }),
    ...brokerFlags,
    context: shared.context,
  };
  static override result = checkedLoopSchema;

  async run() {
    const typed = await this.input(LoopCheck);
    const { flags } = typed;
    const { project, name, sensor, simulate, model, out, context } = flags;
    const progress = this.progress();
    const checked = await checkLoop({
      ...{ project, name, sensor, simulate, model, out, context },
      stream: await brokerOptions(flags),
      seconds: flags.for / 1000,
      signal: this.signal,
      onStep: (text) => progress.update({ text }),
    });
    this.print(checkedLoopText(checked));
    const of = again(typed, 'project');
    this.suggest(next(`aiot loop ${checked.ok ? 'run' : 'check'}${of}`, `aiot loop install${of} --dry-run`));
    if (!checked.ok) this.exitsWith(6);
    return checked;
  }
}
