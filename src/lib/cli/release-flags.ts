import { Flags } from '@oclif/core';
import { duration } from './flags.js';

/** What is signed of a release besides what it is. @param types of devices that it is for when nothing is said */
export const releaseFlags = (types: readonly string[]) => ({
  types: Flags.string({
    summary: 'Types of device that it is released for, with commas.',
    env: 'AIOT_TYPES',
    helpValue: 'TYPE,…',
    default: types.join(','),
  }),
  expires: duration({ summary: 'Devices refuse it after this time, such as 720h.', env: 'AIOT_EXPIRES' }),
});
