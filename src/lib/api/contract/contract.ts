import { session, sessions, tokens, users } from './access.js';
import { alarmTargets } from './alarm-targets.js';
import { alarms } from './alarms.js';
import { attention } from './attention.js';
import { batches, enrollments } from './batches.js';
import { blobs, uploads } from './blobs.js';
import { broker } from './broker.js';
import { commands } from './commands.js';
import { crashes } from './crashes.js';
import { datasets, labels, logRetention, retention } from './data.js';
import { births, claims, devices, enrolment, remoteSessions, secrets, talk } from './devices.js';
import { audit, events } from './events.js';
import { history } from './history.js';
import { jobs, pipelines } from './jobs.js';
import { modelFiles } from './model-files.js';
import { manifests, models } from './models.js';
import { pipelineRequests, pipelineRunners } from './pipeline-requests.js';
import { backups, damage, status } from './platform.js';
import { configs, firmware, trust } from './releases.js';
import { rollouts } from './rollouts.js';
import { settings } from './settings.js';
import { trainingRuns } from './training-runs.js';
import { webhooks } from './webhooks.js';

/** The platform's API, /api/v1: all endpoints by noun. */
export const contract = {
  status,
  session,
  sessions,
  trust,
  devices,
  attention,
  crashes,
  history,
  alarms,
  alarmTargets,
  enrolment,
  claims,
  batches,
  enrollments,
  births,
  secrets,
  remoteSessions,
  broker,
  talk,
  commands,
  settings,
  backups,
  damage,
  blobs,
  uploads,
  models,
  modelFiles,
  manifests,
  firmware,
  configs,
  rollouts,
  datasets,
  labels,
  retention,
  logRetention,
  pipelines,
  pipelineRunners,
  pipelineRequests,
  trainingRuns,
  audit,
  events,
  jobs,
  webhooks,
  users,
  tokens,
};
export type Contract = typeof contract;
