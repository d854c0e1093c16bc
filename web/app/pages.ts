import type { ComponentType } from 'preact';

export interface PageOf {
  /** The parts of the address after the page's path, such as `bench-1` for `#/devices/bench-1`. */
  parts: readonly string[];
}

export interface PageEntry {
  /** First part of the address. */
  path: string;
  title: string;
  /** Whether the page is left out of the menu. */
  hidden?: boolean;
  load: () => Promise<ComponentType<PageOf>>;
}

/** All pages in menu order. Each page is a file of its own, which is loaded when the page is first opened. */
export const pages: readonly PageEntry[] = [
  { path: '', title: 'Overview', load: async () => (await import('../pages/start/start.js')).Start },
  {
    path: 'devices',
    title: 'Devices',
    load: async () => (await import('../pages/fleet/fleet.js')).Fleet,
  },
  {
    path: 'history',
    title: 'Fleet history',
    hidden: true,
    load: async () => (await import('../pages/fleet/history.js')).FleetHistory,
  },
  {
    path: 'remote',
    title: 'Remote sessions',
    hidden: true,
    load: async () => (await import('../pages/remote/remote.js')).RemoteSessions,
  },
  {
    path: 'add-board',
    title: 'Add a board',
    hidden: true,
    load: async () => (await import('../pages/add/add.js')).AddBoard,
  },
  {
    path: 'add-device',
    title: 'Add a device',
    hidden: true,
    load: async () => (await import('../pages/add/claim.js')).AddDevice,
  },
  {
    path: 'models',
    title: 'Models',
    load: async () => (await import('../pages/models/models.js')).Models,
  },
  {
    path: 'upload-model',
    title: 'Upload a model',
    hidden: true,
    load: async () => (await import('../pages/models/upload.js')).UploadModel,
  },
  {
    path: 'datasets',
    title: 'Datasets',
    load: async () => (await import('../pages/data/datasets.js')).Datasets,
  },
  {
    path: 'rollouts',
    title: 'Rollouts',
    load: async () => (await import('../pages/rollouts/rollouts.js')).Rollouts,
  },
  {
    path: 'pipelines',
    title: 'Pipelines',
    load: async () => (await import('../pages/pipelines/pipelines.js')).Pipelines,
  },
  { path: 'runs', title: 'Runs', load: async () => (await import('../pages/runs/runs.js')).Runs },
  {
    path: 'messages',
    title: 'Messages',
    load: async () => (await import('../pages/messages/messages.js')).Messages,
  },
  { path: 'logs', title: 'Logs', load: async () => (await import('../pages/logs/logs.js')).Logs },
  { path: 'alarms', title: 'Alarms', load: async () => (await import('../pages/alarms/alarms.js')).Alarms },
  {
    path: 'crashes',
    title: 'Crashes',
    load: async () => (await import('../pages/crashes/crashes.js')).Crashes,
  },
  { path: 'access', title: 'Access', load: async () => (await import('../pages/access/access.js')).Access },
  { path: 'audit', title: 'Audit', load: async () => (await import('../pages/audit/audit.js')).Audit },
  { path: 'events', title: 'Events', load: async () => (await import('../pages/events/events.js')).Events },
];

export function pageOf([path = '']: readonly string[]): PageEntry | undefined {
  return pages.find((page) => page.path === path);
}
