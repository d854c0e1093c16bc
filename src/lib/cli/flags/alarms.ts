import { Flags } from '@oclif/core';
import { longestAlarmMs, longestWindowMs } from '../../api/contract/alarms.js';
import { duration } from './shared.js';

/** Flags for the condition of an alarm: an expression with its subject and window, or an absence. */
export const conditionFlags = {
  where: Flags.string({
    summary: "Condition on a sample's fields.",
    env: 'AIOT_WHERE',
    helpValue: 'EXPRESSION',
    exactlyOne: ['where', 'absent'],
  }),
  absent: duration({
    summary: 'Raise the alarm if a device sends no telemetry for this long.',
    env: 'AIOT_ABSENT',
    exclusive: ['for', 'clear', 'rate', 'class', 'offline-devices'],
    min: 1000,
    max: longestAlarmMs,
  }),
  rate: Flags.string({
    summary: 'Field whose change is evaluated instead of its value.',
    env: 'AIOT_RATE',
    helpValue: 'FIELD',
    dependsOn: ['where', 'within'],
    exclusive: ['class', 'offline-devices', 'unwell'],
  }),
  class: Flags.string({
    summary: 'Class whose share of the predictions is evaluated.',
    env: 'AIOT_CLASS',
    helpValue: 'CLASS',
    dependsOn: ['where', 'within'],
    exclusive: ['offline-devices', 'unwell', 'stream'],
  }),
  'offline-devices': Flags.boolean({
    summary: 'Evaluate how many of the selected devices are offline.',
    env: 'AIOT_OFFLINE_DEVICES',
    dependsOn: ['where'],
    exclusive: ['unwell', 'stream'],
  }),
  unwell: Flags.boolean({
    summary: 'Evaluate the health of the selected devices.',
    env: 'AIOT_UNWELL',
    dependsOn: ['where'],
    exclusive: ['stream'],
  }),
  within: duration({
    summary: 'Window of --rate or --class, at most 7d.',
    env: 'AIOT_WITHIN',
    min: 1000,
    max: longestWindowMs,
  }),
};
