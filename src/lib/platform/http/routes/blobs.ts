import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import * as z from 'zod';
import { AiotError } from '../../../core/errors.js';
import { blobSchema } from '../../../registry/api.js';
import { type BlobStore, largestBlob } from '../../blobs/store.js';
import type { Upload } from '../../blobs/uploads.js';
import { created } from '../describe.js';
import { sendBlob } from '../etags.js';
import type { Routes } from '../parts.js';

const blobParams = z.object({ digest: z.string() });

export const blobRoutes: Routes =
  ({ blobs }) =>
  async (app) => {
    // The body is streamed to disk: nothing of it is parsed.
    app.addContentTypeParser('application/octet-stream', (_request, payload, done) => done(null, payload));

    app.put(
      '/blobs/:digest',
      {
        config: { access: 'ci' },
        bodyLimit: largestBlob,
        schema: { summary: 'Upload a blob', params: blobParams, response: { 201: blobSchema } },
      },
      async (request, reply) => {
        const { body } = request;
        if (!(body instanceof Readable)) {
          throw new AiotError('AIOT_REQUEST_INVALID', 'expected a body of type application/octet-stream');
        }
        const stored = await blobs.put(request.params.digest, body);
        return created(reply, 'blobs', stored.digest).send(stored);
      },
    );

    // Before the other, which would make one of its own that reads the whole blob.
    app.head(
      '/blobs/:digest',
      { config: { access: 'devices' }, schema: { summary: 'Size and ETag of a blob', params: blobParams } },
      (request, reply) => answer(blobs, request.params.digest, request, reply),
    );

    app.get(
      '/blobs/:digest',
      {
        exposeHeadRoute: false,
        config: { access: 'devices' },
        schema: { summary: 'Download a blob, or a range of it', params: blobParams },
      },
      (request, reply) => answer(blobs, request.params.digest, request, reply),
    );
  };

function answer(blobs: BlobStore, digest: string, request: FastifyRequest, reply: FastifyReply) {
  return sendBlob(blobs, { digest, etag: `"${digest}"` }, request, reply);
}

const version = '1.0.0';
const uploadParams = z.object({ id: z.string().max(60) });
const piece = 'application/offset+octet-stream';

/** Resumable uploads by the tus protocol 1.0.0, with creation, creation-with-upload, checksum, expiration and termination. */
export const uploadRoutes: Routes =
  ({ uploads }) =>
  async (app) => {
    app.addContentTypeParser(piece, (_request, payload, done) => done(null, payload));
    app.addHook('onRequest', async (request, reply) => {
      reply.headers({ 'tus-resumable': version, 'cache-control': 'no-store' });
      if (request.method === 'OPTIONS' || request.headers['tus-resumable'] === version) return;
      reply.header('tus-version', version);
      throw new AiotError('AIOT_UPLOAD_VERSION', `expected Tus-Resumable: ${version}`);
    });

    app.options(
      '/uploads',
      { config: { access: 'everybody' }, schema: { summary: 'What the tus server can do', hide: true } },
      async (_request, reply) =>
        reply
          .status(204)
          .headers({
            'tus-version': version,
            'tus-extension': 'creation,creation-with-upload,checksum,expiration,termination',
            'tus-checksum-algorithm': 'sha1,sha256',
            'tus-max-size': largestBlob,
          })
          .send(),
    );

    app.post(
      '/uploads',
      {
        config: { access: 'ci' },
        bodyLimit: largestBlob,
        schema: {
          summary: 'Begin an upload in pieces (tus 1.0.0)',
          description: 'Upload-Metadata names the digest of the whole: `digest c2hhMjU2Oi4uLg==`.',
          response: { 201: z.null() },
        },
      },
      async (request, reply) => {
        const metadata = header(request, 'upload-metadata') ?? '';
        const bytes = count(request, 'upload-length');
        const digest = metadataOf(metadata).get('digest') ?? '';
        const begun = await uploads.create({ digest, bytes, who: request.who, metadata });
        // Said also when its first piece fails: the upload is there and goes on.
        created(reply, 'uploads', begun.id);
        const { body } = request;
        const upload =
          body instanceof Readable ? await uploads.append(begun.id, 0, body, checkOf(request)) : begun;
        return told(reply, upload).send(null);
      },
    );

    app.head(
      '/uploads/:id',
      {
        config: { access: 'ci' },
        schema: { summary: 'How far an upload has come', params: uploadParams, response: { 200: z.null() } },
      },
      async (request, reply) => {
        await uploads.interrupt(request.params.id);
        const upload = await uploads.get(request.params.id);
        const { bytes, metadata } = upload;
        return told(reply.status(200), upload)
          .headers({ 'upload-length': bytes, ...(metadata === '' ? {} : { 'upload-metadata': metadata }) })
          .send(null);
      },
    );

    app.patch(
      '/uploads/:id',
      {
        config: { access: 'ci' },
        bodyLimit: largestBlob,
        schema: {
          summary: 'Go on with an upload',
          description: 'With its last byte it becomes the blob of its digest.',
          params: uploadParams,
          response: { 204: z.null() },
        },
      },
      async (request, reply) => {
        const { body } = request;
        if (!(body instanceof Readable)) {
          throw new AiotError('AIOT_REQUEST_INVALID', `expected a body of type ${piece}`);
        }
        const offset = count(request, 'upload-offset');
        const upload = await uploads.append(request.params.id, offset, body, checkOf(request));
        return told(reply.status(204), upload).send(null);
      },
    );

    app.delete(
      '/uploads/:id',
      {
        config: { access: 'ci' },
        schema: { summary: 'Give an upload up', params: uploadParams, response: { 204: z.null() } },
      },
      async (request, reply) => {
        await uploads.remove(request.params.id);
        return reply.status(204).send(null);
      },
    );
  };

function told(reply: FastifyReply, { offset, expires }: Upload): FastifyReply {
  return reply.headers({ 'upload-offset': offset, 'upload-expires': new Date(expires).toUTCString() });
}

function header(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

function count(request: FastifyRequest, name: string): number {
  const text = header(request, name);
  if (text !== undefined && /^\d{1,15}$/.test(text)) return Number(text);
  throw new AiotError('AIOT_REQUEST_INVALID', `expected a header ${name} with a number of bytes`);
}

/** `name base64,name base64,name` (tus 1.0.0, Upload-Metadata). */
function metadataOf(text: string): Map<string, string> {
  const pairs = text.split(',').map((pair) => pair.trim().split(/\s+/));
  return new Map(
    pairs.map(([name = '', value = '']) => [name, Buffer.from(value, 'base64').toString('utf8')]),
  );
}

function checkOf(request: FastifyRequest): { algorithm: string; sum: string } | undefined {
  const [algorithm = '', sum = ''] = header(request, 'upload-checksum')?.split(' ') ?? [];
  if (algorithm === '') return undefined;
  if (algorithm === 'sha1' || algorithm === 'sha256') return { algorithm, sum };
  throw new AiotError('AIOT_REQUEST_INVALID', 'expected an Upload-Checksum of sha1 or sha256');
}
