import { pageQuerySchema } from '../page.js';
import {
  type RolloutCommand,
  rolloutDevicesQuerySchema,
  rolloutDevicesSchema,
  rolloutListSchema,
  rolloutPlanSchema,
  rolloutRequestSchema,
  rolloutSchema,
  rolloutStatusSchema,
} from '../rollouts/schema.js';
import { endpoint } from './endpoint.js';

const command = <const Command extends RolloutCommand>(
  name: Command,
  summary: string,
  ...errors: ('AIOT_ROLLOUT_APPROVER' | 'AIOT_ROLLOUT_NO_WAY_BACK')[]
) =>
  endpoint(`POST /rollouts/:id/${name}`, {
    reach: 'filtered',
    summary,
    result: rolloutSchema,
    errors: ['AIOT_ROLLOUT_STATE', ...errors],
  });

export const rollouts = {
  /** Returns rollouts, newest first. */
  list: endpoint('GET /rollouts', {
    reach: 'filtered',
    summary: 'Rollouts, newest first',
    query: pageQuerySchema,
    result: rolloutListSchema,
    list: 'rollouts',
  }),
  get: endpoint('GET /rollouts/:id', {
    reach: 'filtered',
    summary: 'One rollout, with the versions on its devices',
    result: rolloutStatusSchema,
  }),
  /** Returns the devices of a rollout, sorted by name. */
  devices: endpoint('GET /rollouts/:id/devices', {
    reach: 'filtered',
    summary: 'The devices of a rollout, by name',
    query: rolloutDevicesQuerySchema,
    result: rolloutDevicesSchema,
    list: 'devices',
  }),
  /** Plans a rollout without starting it. */
  plan: endpoint('POST /rollouts/plan', {
    reach: 'filtered',
    summary: 'Plan a rollout: the devices in each wave; nothing is started',
    body: rolloutRequestSchema,
    result: rolloutPlanSchema,
    errors: ['AIOT_ROLLOUT_EMPTY', 'AIOT_SELECTOR_INVALID', 'AIOT_NOT_FOUND'],
  }),
  start: endpoint('POST /rollouts', {
    reach: 'filtered',
    summary: 'Start a rollout',
    access: 'ci',
    body: rolloutRequestSchema,
    result: rolloutSchema,
    location: ({ id }) => ['rollouts', id],
    errors: [
      'AIOT_ROLLOUT_EMPTY',
      'AIOT_SELECTOR_INVALID',
      'AIOT_NOT_FOUND',
      'AIOT_ROLLOUT_OVERLAP',
      'AIOT_ROLLOUT_PLAN',
    ],
  }),
  approve: command('approve', 'Approve a rollout that someone else started', 'AIOT_ROLLOUT_APPROVER'),
  pause: command('pause', 'Pause a rollout; devices already updating will finish'),
  resume: command('resume', 'Resume a paused rollout'),
  abort: command('abort', 'End a rollout; committed devices keep the new version'),
  rollback: command('rollback', 'Roll back all devices in a rollout', 'AIOT_ROLLOUT_NO_WAY_BACK'),
  retry: command('retry', 'Offer the release again to the failed devices'),
  events: endpoint('GET /rollouts/:id/events', {
    reach: 'filtered',
    summary: 'Stream a rollout after each change, with the devices that changed (server-sent events)',
    sends: 'events',
  }),
};
