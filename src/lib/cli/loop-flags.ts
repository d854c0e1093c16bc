import { Flags } from '@oclif/core';
import { duration } from './flags.js';

/** What a loop is asked, by whoever runs it: `aiot loop run`, or a service of `aiot loop install`. */
export const loopFlags = {
  name: Flags.string({
    summary: "Name of the loop, for its state and its disk [default: the project's].",
    env: 'AIOT_NAME',
    helpValue: 'NAME',
  }),
  sensor: Flags.string({
    summary: 'Where samples come from: i2c:, iio:, alsa:, serial:, tcp:, file: or any stream.',
    env: 'AIOT_SENSOR',
    helpValue: 'URL',
  }),
  model: Flags.string({
    summary: "A .aiot file, or the registry's NAME@STAGE [default: the project's].",
    env: 'AIOT_MODEL',
    helpValue: 'MODEL',
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
  listen: Flags.string({
    summary: 'Serve /healthz and /metrics here: PORT of this machine, or HOST:PORT [default: nowhere].',
    env: 'AIOT_LISTEN',
    helpValue: 'HOST:PORT',
  }),
};
