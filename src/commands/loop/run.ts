import * as z from 'zod';
import { AiotCommand } from '../../lib/cli/command.js';
import { brokerFlags, brokerOptions } from '../../lib/cli/flags/brokers.js';
import { runFlags } from '../../lib/cli/flags/projects.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { LoopScreen } from '../../lib/cli/live/loop-screen.js';
import { loopText } from '../../lib/cli/render/loop.js';
import { loopResultSchema, stageResultSchema } from '../../lib/loop/run/result.js';
import { startLoop } from '../../lib/loop/run/run.js';

export default class LoopRun extends AiotCommand {
  static override summary = 'Run inference on live sensor data on this machine.';
  static override description =
    'Reads the sensor, runs the model on each window, smooths the predictions and sends them to the outputs. Stops on Ctrl-C, after --for, at --until, or when the sensor’s data ends. Settings without a flag come from `loop:` in aiot.yaml. --vote majority:N reports the most frequent class of the last N windows; a tie goes to the most recent class. --vote average:N reports the class for the mean of their outputs. --vote hysteresis:SHARE changes the class only when another one leads by SHARE twice in a row.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --simulate --for 20s',
    "<%= config.bin %> <%= command.id %> --sensor 'i2c://1/lsm6ds3tr-c?rate=104' --out nats://127.0.0.1/output",
    "<%= config.bin %> <%= command.id %> --vote majority:4 --hold 5s --out 'mqtt://127.0.0.1/activity?body=label' --record kept",
  ];
  static override flags = {
    project: shared.project,
    ...runFlags,
    ...brokerFlags,
    context: shared.context,
  };
  static override result = z.union([loopResultSchema, stageResultSchema]);

  async run() {
    const { flags } = await this.input(LoopRun);
    const { for: forMs, hold: holdMs, 'teach-from': teachFrom, runtime, ...asked } = flags;
    const shown = !this.jsonEnabled() && !this.quiet;
    const screen = new LoopScreen({
      stdout: shown ? process.stdout : null,
      stdin: shown && process.stdin.isTTY ? process.stdin : null,
      note: (text) => this.note(text),
    });
    try {
      const result = await startLoop({
        ...asked,
        ...{ forMs, holdMs, teachFrom },
        delegate: runtime === 'device' ? asked.delegate : runtime,
        ...screen.wiring,
        stream: await brokerOptions(flags),
        patient: process.env.NOTIFY_SOCKET !== undefined,
        signal: this.signal,
        onStep: (text) => this.progress().update(text),
      });
      screen.close();
      this.print(loopText(result));
      return result;
    } finally {
      screen.close();
    }
  }
}
