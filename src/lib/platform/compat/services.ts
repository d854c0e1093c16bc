import type { IncomingMessage, ServerResponse } from 'node:http';
import { posix } from 'node:path';
import { Readable } from 'node:stream';
import { hasCode } from '../../core/errors.js';
import type { DeviceRecord, Devices } from '../devices/devices.js';
import type { Enrolment } from '../devices/enrolment.js';
import {
  type GuideFile,
  type GuideFiles,
  type GuideFolder,
  guide,
  modelFolders,
  rawFolder,
  uploadPaths,
} from './files.js';
import { answer, answerError, answerMoved, answerWord, type Found, type ServedFile, serve } from './http.js';
import type { Shelf } from './shelf.js';
import type { Receiver } from './uploads.js';

interface ServiceParts {
  files: GuideFiles;
  shelf: Shelf;
  devices: GuideDevices;
  receiver: Receiver;
  /** Implements the service's /deleteAllData; null = requests for it are rejected. */
  deleteAll: ((service: GuideService) => Promise<void>) | null;
  /** ms since 1970 */
  started: number;
}

/** The three services, each on its own port. */
export const guideServices = ['devices', 'models', 'datasets'] as const;

export type GuideService = (typeof guideServices)[number];

const registryFile = 'device_registry.dat';
const onlyTwo = 'Sorry, only GET and POST methods are supported.';

const statuses: Record<Exclude<Provisioned, 'done'>, [number, string]> = {
  malformed: [400, 'expected device_id=ID, with an ID of at most 64 printable characters'],
  revoked: [403, 'the device was revoked'],
  full: [507, 'too many devices wait for their certificates'],
};

/** Handles requests to one of the three HTTP services. */
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
  if (!act) return answerError(response, 403, 'not allowed: start the platform with --compat-delete-all');
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
  if (id === null) return answerError(response, 413, 'the form is too large');
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

/** Finds a path in either service, because both ports serve both services. Only the root differs by port. */
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

/** Maximum number of devices that unauthenticated clients may register. */
const mostUnknown = 10_000;

type Provisioned = 'done' | 'malformed' | 'revoked' | 'full';

interface Parts {
  devices: Devices;
  enrolment: Enrolment;
}

/**
 * The guide's device registry on top of ours: its ids are the chip ids of our devices. Clients are not authenticated: a device provisioned
 * here is registered without a certificate and gets no permissions. The registration only makes its firmware start working.
 */
export class GuideDevices {
  constructor(private readonly parts: Parts) {}

  /** Chip ids of all devices that are not revoked, in natural order. */
  ids(): string[] {
    const own = this.parts.devices
      .records()
      .filter(({ chipId, state }) => chipId !== null && state !== 'revoked');
    return own
      .map(({ chipId }) => chipId as string)
      .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  }

  confirmed(id: string): boolean {
    return id !== '' && this.parts.devices.knows(id);
  }

  /**
   * Registers a device. An existing device is left unchanged, so that a device suspended or revoked by an operator
   * cannot be restored here.
   */
  async provision(id: string): Promise<Provisioned> {
    if (!/^[\x21-\x7e]{1,64}$/.test(id)) return 'malformed';
    const { devices, enrolment } = this.parts;
    const own = devices.withBoard({ chipId: id });
    if (own.some(({ state }) => state !== 'revoked')) return 'done';
    if (own.length > 0) return 'revoked';
    if (devices.select('state=registered').length >= mostUnknown) return 'full';
    const newcomer = { name: this.freeName(id), type: 'esp32', chipId: id };
    try {
      await enrolment.register(newcomer, guide);
    } catch (error) {
      // A concurrent request has registered the device.
      if (!hasCode(error, 'AIOT_ALREADY_EXISTS', 'device')) throw error;
      if (!this.confirmed(id)) return this.provision(id);
    }
    return 'done';
  }

  /** A name such as `guide-14333616` that neither a current nor a revoked device has. */
  private freeName(id: string): string {
    const { devices } = this.parts;
    const bare = id
      .replace(/[^A-Za-z0-9._-]/g, '-')
      .slice(0, 48)
      .replace(/[^A-Za-z0-9]+$/, '');
    const base = bare === '' ? 'guide' : `guide-${bare}`;
    const taken = (name: string): DeviceRecord | null => devices.find(name);
    if (!taken(base)) return base;
    for (let i = 2; ; i++) if (!taken(`${base}-${i}`)) return `${base}-${i}`;
  }
}

/** The parsed target of a request. */
type Target =
  /** The path is decoded and clean, and begins with `/`. */
  | { kind: 'path'; path: string; query: URLSearchParams; search: string }
  /** The client must request another path. */
  | { kind: 'moved'; path: string; search: string }
  | { kind: 'malformed' };

/**
 * Parses a request target as Go's ServeMux does: decodes the path, then cleans it of `//`, `.` and `..`. An unclean
 * path is redirected to the clean one; the guide's clients follow redirects. Paths never reach a file system, because
 * they are only looked up among names.
 */
function targetOf(url: string): Target {
  const own = url.replace(/^https?:\/\/[^/?#]*/i, '');
  const mark = own.indexOf('?');
  const raw = mark < 0 ? own : own.slice(0, mark);
  const search = mark < 0 ? '' : own.slice(mark);
  const path = decoded(raw);
  if (path === undefined || !path.startsWith('/')) return { kind: 'malformed' };
  const clean = cleaned(path);
  if (clean !== path) return { kind: 'moved', path: clean, search };
  return { kind: 'path', path, search, query: new URLSearchParams(search) };
}

function decoded(path: string): string | undefined {
  try {
    const text = decodeURIComponent(path);
    return text.includes('\0') ? undefined : text;
  } catch {
    return undefined;
  }
}

function cleaned(path: string): string {
  const clean = posix.normalize(path);
  // For Go, a last segment of dots names a folder without a trailing slash.
  if (/\/\.{1,2}$/.test(path)) return clean === '/' ? clean : clean.replace(/\/$/, '');
  return clean;
}

/** Largest form accepted, bytes. */
const largestForm = 16 * 1024;

/**
 * Returns a field as Go's Request.FormValue does: from a form, urlencoded or multipart, before the query; empty when absent. Null if the
 * form is too long or was cut off.
 */
async function formValue(
  request: IncomingMessage,
  query: URLSearchParams,
  field: string,
): Promise<string | null> {
  const body = await bodyOf(request);
  if (body === null) return null;
  const type = request.headers['content-type'] ?? '';
  return (await inForm(body, type, field)) ?? query.get(field) ?? '';
}

async function inForm(body: Buffer, type: string, field: string): Promise<string | null> {
  if (/^application\/x-www-form-urlencoded\b/i.test(type)) {
    return new URLSearchParams(body.toString('utf8')).get(field);
  }
  if (!/^multipart\/form-data\b/i.test(type)) return null;
  // The form is small, and complete at this point.
  const form = await new Response(new Uint8Array(body), { headers: { 'content-type': type } })
    .formData()
    .catch(() => null);
  const value = form?.get(field);
  return typeof value === 'string' ? value : null;
}

async function bodyOf(request: IncomingMessage): Promise<Buffer | null> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > largestForm) return null;
      chunks.push(chunk);
    }
  } catch {
    return null;
  }
  return Buffer.concat(chunks);
}
