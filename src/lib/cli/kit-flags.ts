import { Flags } from '@oclif/core';

/** Flags of a simulated board of a kit: at a broker, without an identity. */
export const kitFlags = {
  board: Flags.option({ options: ['iot-kit'] as const })({
    summary: 'Be a board of this kit, in MQTT 3.1.',
    env: 'AIOT_BOARD',
    exclusive: ['serial', 'recording', 'motor'],
  }),
  to: Flags.string({
    summary: 'Broker of the board.',
    env: 'AIOT_TO',
    helpValue: 'URL',
    default: 'mqtt://127.0.0.1:1883',
  }),
  count: Flags.integer({
    char: 'n',
    summary: 'Readings of the board before it ends; with --native, how many devices.',
    min: 1,
    env: 'AIOT_COUNT',
  }),
};
