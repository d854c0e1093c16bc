import { Flags } from '@oclif/core';
import { z } from 'zod';
import {
  AiotCommand,
  brokerFlags,
  brokerOptions,
  duration,
  LoopScreen,
  loopText,
  shared,
} from '../../lib/cli/index.js';
import { loopResultSchema, stageNames, stageResultSchema, startLoop } from '../../lib/loop/run/index.js';

export default class LoopRun extends AiotCommand {
  static override summary =
    'Turn what a sensor measures into answers, here: sensor, window, model, vote, outputs.';
  static override description =
    "Runs until Ctrl-C, --for or --until, or the sensor's end. What no flag says, `loop:` in aiot.yaml does. --vote: majority:N is the class that most of the last N windows have, and nothing at a tie; hysteresis:SHARE lets a class stand until another leads it by so much twice in a row.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> --simulate --for 20s',
    "<%= config.bin %> <%= command.id %> --sensor 'i2c://1/lsm6ds3tr-c?rate=104' --out nats://127.0.0.1/output",
    "<%= config.bin %> <%= command.id %> --sensor 'file:recording.csv?rate=100&speed=max' --model motion@production --json",
    "<%= config.bin %> <%= command.id %> --vote majority:4 --hold 5s --out 'mqtt://127.0.0.1/activity?body=label' --record kept",
  ];
  static override flags = {
    project: shared.project,
    sensor: Flags.string({
      summary: 'Where samples come from: i2c:, iio:, alsa:, serial:, tcp:, file: or any stream.',
      env: 'AIOT_SENSOR',
      helpValue: 'URL',
    }),
    simulate: Flags.boolean({
      summary:
        'A made-up sensor where none is named, and a model trained into the cache where there is none.',
      env: 'AIOT_SIMULATE',
    }),
    model: Flags.string({
      summary: "A .aiot file, or the registry's NAME@STAGE [default: the project's].",
      env: 'AIOT_MODEL',
      helpValue: 'MODEL',
    }),
    delegate: Flags.option({ options: ['cpu', 'coral'] as const })({
      summary: 'What the model runs on.',
      default: 'cpu',
      env: 'AIOT_DELEGATE',
    }),
    vote: Flags.string({
      summary: "none, majority:N or hysteresis:SHARE [default: the model's].",
      env: 'AIOT_VOTE',
      helpValue: 'VOTE',
    }),
    hold: duration({ summary: 'A voted class stands at least so long, such as 5s.', env: 'AIOT_HOLD' }),
    out: Flags.string({
      char: 'o',
      summary:
        'Answers go here: nats:, mqtt:, kafka:, redis:, http:, telegram:, gpio:, exec:, file: and others.',
      env: 'AIOT_OUT',
      helpValue: 'URL',
      multiple: true,
      multipleNonGreedy: true,
    }),
    send: Flags.option({ options: ['change', 'always'] as const })({
      summary: 'Send an answer when the vote changes, or always [default: change].',
      env: 'AIOT_SEND',
    }),
    for: duration({ summary: 'End after this time, such as 30s.', env: 'AIOT_FOR', exclusive: ['until'] }),
    until: Flags.string({
      summary: 'End at this time, such as 17:30 or 2026-01-31T17:30.',
      env: 'AIOT_UNTIL',
      helpValue: 'TIME',
    }),
    record: Flags.string({
      summary: 'Keep the samples as recordings in this folder, the last week of them.',
      env: 'AIOT_RECORD',
      helpValue: 'DIR',
    }),
    teach: Flags.boolean({
      summary: 'Keys give the last seconds a label, and the model learns it.',
      env: 'AIOT_TEACH',
    }),
    'teach-from': Flags.string({
      summary: 'The same by messages: a stream of labels, such as mqtt://127.0.0.1/labels.',
      env: 'AIOT_TEACH_FROM',
      helpValue: 'URL',
    }),
    yes: Flags.boolean({
      summary: 'Use what was taught also where it does worse on what was held out.',
      env: 'AIOT_YES',
    }),
    stage: Flags.option({ options: stageNames })({
      summary: "One of the motion system's four parts alone, over NATS.",
      env: 'AIOT_STAGE',
    }),
    name: Flags.string({
      summary: "Of the loop, for aiot loop status [default: the project's].",
      env: 'AIOT_NAME',
      helpValue: 'NAME',
    }),
    listen: Flags.string({
      summary: 'Pages /healthz and /metrics here, such as 127.0.0.1:9099.',
      env: 'AIOT_LISTEN',
      helpValue: '[HOST:]PORT',
    }),
    ...brokerFlags,
  };
  static override result = z.union([loopResultSchema, stageResultSchema]);

  async run() {
    const { flags } = await this.input(LoopRun);
    const { for: forMs, hold: holdMs, 'teach-from': teachFrom, ...asked } = flags;
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
