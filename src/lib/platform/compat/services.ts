import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import type { GuideFile, GuideFiles } from './files.js';
import { type GuideFolder, modelFolders, rawFolder, uploadPaths } from './folders.js';
import { answer, answerError, answerMoved, answerWord } from './http/answer.js';
import { formValue } from './http/form.js';
import type { Receiver } from './http/receive.js';
import { type Found, type ServedFile, serve } from './http/serve.js';
import { type Target, targetOf } from './http/target.js';
import type { GuideDevices, Provisioned } from './registry.js';
import type { Shelf } from './shelf.js';

export interface ServiceParts {
  files: GuideFiles;
  shelf: Shelf;
  devices: GuideDevices;
  receiver: Receiver;
  /** What /deleteAllData of that service does; null = it is refused. */
  deleteAll: ((service: GuideService) => Promise<void>) | null;
  /** ms since 1970 */
  started: number;
}

/** Each on a port of its own. */
export const guideServices = ['devices', 'models', 'datasets'] as const;
export type GuideService = (typeof guideServices)[number];

const registryFile = 'device_registry.dat';
const onlyTwo = 'Sorry, only GET and POST methods are supported.';
const statuses: Record<Exclude<Provisioned, 'done'>, [number, string]> = {
  malformed: [400, 'expected device_id=ID, with an ID of at most 64 printable characters'],
  revoked: [403, 'the device was revoked'],
  full: [507, 'too many devices wait for their certificates'],
};

/** Answers the requests of one of the three HTTP services. */
export function handlerOf(parts: ServiceParts, service: GuideService) {
  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const target = targetOf(request.url ?? '/');
    if (target.kind === 'malformed') return answerError(response, 400, '400 Bad Request');
    if (target.kind === 'moved') return answerMoved(request, response, target.path, target.search);
    const { path } = target;
    if (path === '/deleteAllData') return deleteAll(parts, service, response);
    if (service === 'devices') return answerDevices(parts, request, response, target);
    if (Object.hasOwn(uploadPaths, path)) {
      if (request.method === 'POST') return parts.receiver.receive(request, response);
      return answerError(response, 405, 'Method not allowed');
    }
    return serve(request, response, target, (wanted) => findFile(parts, service, wanted));
  };
}

async function deleteAll({ deleteAll: act }: ServiceParts, service: GuideService, response: ServerResponse) {
  if (!act) return answerError(response, 403, 'refused: start the platform with --compat-delete-all');
  await act(service);
  return answer(response, 200);
}

async function answerDevices(
  { devices, started }: ServiceParts,
  request: IncomingMessage,
  response: ServerResponse,
  target: Extract<Target, { kind: 'path' }>,
): Promise<void> {
  const { path, query } = target;
  if (path !== '/provisionDevice' && path !== '/confirmActivation') {
    return serve(request, response, target, async (wanted) => findRegistry(devices.ids(), started, wanted));
  }
  if (request.method !== 'POST') return answerWord(response, onlyTwo);
  const id = await formValue(request, query, 'device_id');
  if (id === null) return answerError(response, 413, 'the form is too long');
  if (path === '/confirmActivation') return answerWord(response, devices.confirmed(id) ? 'TRUE' : 'FALSE');
  const outcome = await devices.provision(id);
  if (outcome === 'done') return answer(response, 200);
  return answerError(response, ...statuses[outcome]);
}

function findRegistry(ids: readonly string[], modified: number, path: string): Found | null {
  if (path === '/') {
    return {
      kind: 'folder',
      entries: ids.length > 0 ? [{ name: registryFile, folder: false }] : [],
      modified,
    };
  }
  if (path !== `/${registryFile}` || ids.length === 0) return null;
  const text = Buffer.from(ids.map((id) => `${id}\n`).join(''));
  return {
    ...{ kind: 'file', bytes: text.length, modified: Date.now() },
    type: 'text/plain; charset=utf-8',
    open: (range) => Readable.from([range ? text.subarray(range.first, range.last + 1) : text]),
  };
}

/** Both ports answer for both services; each has its own at the root. */
async function findFile(parts: ServiceParts, service: GuideService, path: string): Promise<Found | null> {
  const [, first = '', second, ...more] = path.split('/');
  if (more.length > 0) return null;
  if (first === '') {
    if (service === 'datasets') return folderOf(parts, rawFolder);
    return {
      kind: 'folder',
      entries: modelFolders.map((name) => ({ name, folder: true })),
      modified: parts.started,
    };
  }
  const folder = modelFolders.find((name) => name === first);
  if (!folder) return second === undefined ? fileOf(parts, rawFolder, first) : null;
  if (folder === 'full' || folder === 'quantized') await parts.shelf.refresh();
  return second === undefined ? folderOf(parts, folder) : fileOf(parts, folder, second);
}

async function folderOf({ files, started }: ServiceParts, folder: GuideFolder): Promise<Found> {
  const rows = await files.list(folder);
  return {
    kind: 'folder',
    entries: rows.map(({ name }) => ({ name, folder: false })),
    modified: rows.reduce((newest, { modified }) => Math.max(newest, modified), started),
  };
}

async function fileOf({ files }: ServiceParts, folder: GuideFolder, name: string): Promise<Found | null> {
  const row = await files.find(folder, name);
  return row ? served(files, row) : null;
}

function served(files: GuideFiles, row: GuideFile): ServedFile {
  const { bytes, type, modified } = row;
  return { kind: 'file', bytes, type, modified, open: (range) => files.open(row, range) };
}
