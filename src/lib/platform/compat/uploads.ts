import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, rm } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join, posix } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { AiotError, hasCode } from '../../core/errors.js';
import { namePattern } from '../../core/names.js';
import type { BlobStore } from '../blobs/store.js';
import { statusOf, storageError } from '../errors.js';
import { bodyIsComing } from '../listen.js';
import type { Models } from '../releases/models.js';
import type { Turn } from '../store/engine.js';
import {
  type GuideFiles,
  type GuideFolder,
  guide,
  isFileName,
  type Quota,
  type Room,
  uploadPaths,
} from './files.js';
import { contentType, sniffedBytes } from './http.js';

/** Accepts uploads to the paths in `uploadPaths`; other requests must not be passed to it. */
export interface Receiver {
  receive(request: IncomingMessage, response: ServerResponse): void;
  close(): Promise<void>;
}

const text = 'text/plain; charset=utf-8';

/**
 * Accepts multipart uploads and streams them to disk. The file is the first part with a file name in the field `file`, as for Go's
 * Request.FormFile. Responds with 200 and no body once the file is durable; a malformed form gets 400, where the guide's servers crash.
 */
export async function createReceiver(uploads: Uploads, failed: (error: unknown) => void): Promise<Receiver> {
  const { default: fastify } = await import('fastify');
  const { default: multipart } = await import('@fastify/multipart');
  const app = fastify({ logger: false }) as unknown as FastifyInstance;
  await app.register(multipart, {
    preservePath: true,
    throwFileSizeLimit: true,
    limits: { fileSize: largestUpload, files: 16, fields: 64, fieldSize: 64 * 1024, headerPairs: 32 },
  });
  app.addContentTypeParser('*', (_request, _payload, done) => done(null));
  app.setErrorHandler(async (error, request, reply) => {
    const status = statusFor(error);
    // A full store is not a platform failure, and logging it would let clients flood the log.
    if (status >= 500 && !hasCode(error, 'AIOT_GUIDE_FULL')) failed(error);
    if (bodyIsComing(request.raw)) reply.header('connection', 'close');
    reply.header('x-content-type-options', 'nosniff');
    return reply
      .status(status)
      .type(text)
      .send(`${hasCode(error, 'AIOT_GUIDE_FULL') ? error.message : wordsFor(status)}\n`);
  });
  for (const [path, folder] of Object.entries(uploadPaths)) {
    app.post(path, async (request, reply) => {
      if (!request.isMultipart()) return bad(reply);
      let staged: Awaited<ReturnType<Uploads['stage']>> | undefined;
      try {
        for await (const part of request.files()) {
          if (staged === undefined && part.fieldname === 'file' && part.filename) {
            staged = await uploads.stage(part.filename, part.file);
            if (staged === null) part.file.resume();
          } else part.file.resume();
        }
        if (!staged) return bad(reply);
        await uploads.keep(folder, staged);
        return reply.status(200).header('content-length', '0').send();
      } finally {
        await staged?.discard();
      }
    });
  }
  await app.ready();
  return {
    receive: (request, response) => app.routing(request, response),
    close: async () => void (await app.close()),
  };
}

function bad(reply: { status(code: number): { type(type: string): { send(body: string): unknown } } }) {
  return reply.status(400).type(text).send('expected a file in the field "file" of a multipart form\n');
}

function statusFor(error: unknown): number {
  const told = storageError(error);
  if (told instanceof Error && 'statusCode' in told && typeof told.statusCode === 'number')
    return told.statusCode;
  if (told instanceof Error && told.name === 'AiotError') return statusOf(told as AiotError);
  return 500;
}

function wordsFor(status: number): string {
  if (status === 413) return `expected at most ${largestUpload} bytes`;
  if (status === 507) return 'the disk is full';
  return status >= 500 ? 'internal server error' : 'expected a file in the field "file" of a multipart form';
}

/** Largest file accepted from unauthenticated clients, bytes. */
const largestUpload = 256 * 1024 ** 2;

/** A received file that is not recorded yet. */
interface Staged {
  digest: string;
  bytes: number;
  /** Content-Type, determined from the name and the first bytes. */
  type: string;
  /** Stores the file as a blob; resolves when it is durable. */
  keep(blobs: BlobStore): Promise<void>;
  /** Must always be called, once the file is stored or rejected. */
  discard(): Promise<void>;
}

/**
 * Stores uploads temporarily until they are complete, because a blob's digest is known only at the end of the upload.
 */
interface Staging {
  /** @throws AIOT_REQUEST_TOO_LARGE above `largestUpload`, AIOT_GUIDE_FULL, and disk errors */
  take(name: string, source: AsyncIterable<Uint8Array>): Promise<Staged>;
}

/** Deletes files left in the folder by a crash. */
export async function openStaging(folder: string, quota: Pick<Quota, 'begin'>): Promise<Staging> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true, mode: 0o700 });
  return {
    async take(name, source) {
      const path = join(folder, randomBytes(8).toString('hex'));
      const room = await quota.begin();
      const discard = async () => {
        room.end();
        await rm(path, { force: true });
      };
      try {
        const { digest, bytes, head } = await receive(path, source, room);
        const type = contentType(name, head);
        const keep = async (blobs: BlobStore) => void (await blobs.put(digest, createReadStream(path)));
        return { digest, bytes, type, keep, discard };
      } catch (error) {
        await discard();
        throw error;
      }
    },
  };
}

async function receive(path: string, source: AsyncIterable<Uint8Array>, room: Room) {
  const hash = createHash('sha256');
  const file = await open(path, 'wx', 0o600);
  let bytes = 0;
  let head = Buffer.alloc(0);
  try {
    for await (const chunk of source) {
      bytes += chunk.length;
      if (bytes > largestUpload) {
        throw new AiotError('AIOT_REQUEST_TOO_LARGE', `expected at most ${largestUpload} bytes`);
      }
      room.take(chunk.length);
      if (head.length < sniffedBytes) head = Buffer.concat([head, chunk]).subarray(0, sniffedBytes);
      hash.update(chunk);
      await file.writeFile(chunk);
    }
  } finally {
    await file.close();
  }
  return { digest: `sha256:${hash.digest('hex')}`, bytes, head };
}

interface UploadParts {
  files: GuideFiles;
  blobs: BlobStore;
  models: Pick<Models, 'addUntrusted'>;
  staging: Staging;
  inTurn: Turn;
  /** ms since 1970 */
  now: () => number;
}

/** Stores uploads: a file in a folder, and for models an unsigned version. */
export class Uploads {
  constructor(private readonly parts: UploadParts) {}

  /** Receives a file's bytes, which the caller then keeps or discards; null if clients could not request a file by this name. */
  async stage(
    fileName: string,
    source: AsyncIterable<Uint8Array>,
  ): Promise<(Staged & { name: string }) | null> {
    const name = posix.basename(fileName);
    if (!isFileName(name)) return null;
    return { ...(await this.parts.staging.take(name, source)), name };
  }

  /**
   * Resolves when the file and its record are durable; a model's version is recorded in the same transaction. Sending the same file again
   * creates no new version, because clients that lost the response retry.
   */
  keep(folder: GuideFolder, staged: Staged & { name: string }): Promise<void> {
    const { files, blobs, models, inTurn, now } = this.parts;
    const { name, digest, bytes, type } = staged;
    return inTurn(async () => {
      const before = await files.find(folder, name);
      if (before?.digest === digest) return;
      await staged.keep(blobs);
      const at = now();
      const isModel = folder === 'full' || folder === 'quantized';
      const model = isModel ? modelNameOf(name) : null;
      const file = { folder, name, digest, bytes, type, modified: at, model, version: null };
      if (model === null) return files.put(file);
      let replaced = false;
      const upload = { name: model, digest, bytes, source: guide, file: name, at };
      await models.addUntrusted(upload, async ({ version }, transaction) => {
        replaced = await files.putIn(transaction, { ...file, version });
      });
      if (replaced) await files.sweep();
    });
  }
}

/** `2022-05-06-20:36:11-model.tflite` is a version of `model`: the name without the leading time and the extension. */
function modelNameOf(file: string): string {
  const bare = file
    .replace(/^\d{4}-\d{2}-\d{2}[-T_]\d{2}[:_-]\d{2}[:_-]\d{2}[-_]?/, '')
    .replace(/\.(tflite|zip|h5|keras|aiot|tar|gz|bin)$/i, '');
  const name = bare
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 64)
    .replace(/[^A-Za-z0-9]+$/, '');
  return namePattern.test(name) ? name : 'model';
}
