import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { largestBlob } from '../../../api/contract/blobs.js';
import { contract } from '../../../api/contract/contract.js';
import { AiotError } from '../../../core/errors.js';
import type { Upload } from '../../blobs/uploads.js';
import { sendBlob } from '../etags.js';
import type { Routes } from '../parts.js';
import { locate, serve } from '../serve.js';

export const blobRoutes: Routes =
  ({ blobs }) =>
  async (app) => {
    // The body is streamed to disk without being parsed.
    app.addContentTypeParser('application/octet-stream', (_request, payload, done) => done(null, payload));
    serve(app, contract.blobs, {
      put: (request) => {
        const body: unknown = request.body;
        if (!(body instanceof Readable)) {
          throw new AiotError('AIOT_REQUEST_INVALID', 'expected a body of type application/octet-stream');
        }
        return blobs.put(request.params.digest, body);
      },
      head: (request, reply) => answer(request, reply),
      get: (request, reply) => answer(request, reply),
    });

    function answer(
      request: Pick<FastifyRequest, 'headers' | 'method'> & { params: { digest: string } },
      reply: FastifyReply,
    ) {
      const { digest } = request.params;
      return sendBlob(blobs, { digest, etag: `"${digest}"` }, request, reply);
    }
  };

const version = '1.0.0';
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
    // Not part of the contract: a query about the protocol itself.
    app.options(
      '/uploads',
      { config: { access: 'everybody' }, schema: { summary: 'Capabilities of the tus server', hide: true } },
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
    serve(app, contract.uploads, {
      begin: async (request, reply) => {
        const metadata = header(request, 'upload-metadata') ?? '';
        const bytes = count(request, 'upload-length');
        const digest = metadataOf(metadata).get('digest') ?? '';
        const begun = await uploads.create({ digest, bytes, who: request.who, metadata });
        // The location is set even if the first piece fails, because the upload exists and can continue.
        locate(reply, ['uploads', begun.id]);
        const body: unknown = request.body;
        const upload =
          body instanceof Readable ? await uploads.append(begun.id, 0, body, checkOf(request)) : begun;
        return told(reply, upload).send(null);
      },
      progress: async ({ params: { id } }, reply) => {
        await uploads.interrupt(id);
        const upload = await uploads.get(id);
        const { bytes, metadata } = upload;
        return told(reply.status(200), upload)
          .headers({ 'upload-length': bytes, ...(metadata === '' ? {} : { 'upload-metadata': metadata }) })
          .send(null);
      },
      append: async (request, reply) => {
        const body: unknown = request.body;
        if (!(body instanceof Readable)) {
          throw new AiotError('AIOT_REQUEST_INVALID', `expected a body of type ${piece}`);
        }
        const offset = count(request, 'upload-offset');
        const upload = await uploads.append(request.params.id, offset, body, checkOf(request));
        return told(reply.status(204), upload).send(null);
      },
      remove: async ({ params: { id } }, reply) => {
        await uploads.remove(id);
        return reply.status(204).send(null);
      },
    });
  };

function told(reply: FastifyReply, { offset, expires }: Upload): FastifyReply {
  return reply.headers({ 'upload-offset': offset, 'upload-expires': new Date(expires).toUTCString() });
}

/** The part of a request that the upload protocol reads. */
type Headed = Pick<FastifyRequest, 'headers'>;

function header(request: Headed, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

function count(request: Headed, name: string): number {
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

function checkOf(request: Headed): { algorithm: string; sum: string } | undefined {
  const [algorithm = '', sum = ''] = header(request, 'upload-checksum')?.split(' ') ?? [];
  if (algorithm === '') return undefined;
  if (algorithm === 'sha1' || algorithm === 'sha256') return { algorithm, sum };
  throw new AiotError('AIOT_REQUEST_INVALID', 'expected an Upload-Checksum of sha1 or sha256');
}
