import { Readable } from 'node:stream';
import { z } from 'zod';
import { AiotError } from '../../../core/index.js';
import { blobSchema } from '../../../registry/index.js';
import { parseRange } from '../../blobs/range.js';
import { largestBlob } from '../../blobs/store.js';
import type { Routes } from '../parts.js';

const params = z.object({ digest: z.string() });

export const blobRoutes: Routes =
  ({ blobs }) =>
  async (app) => {
    // The body is streamed to disk: nothing of it is parsed.
    app.addContentTypeParser('application/octet-stream', (_request, payload, done) => done(null, payload));

    app.put(
      '/blobs/:digest',
      {
        bodyLimit: largestBlob,
        schema: { summary: 'Upload a blob', params, response: { 201: blobSchema } },
      },
      async (request, reply) => {
        const { body } = request;
        if (!(body instanceof Readable)) {
          throw new AiotError('AIOT_REQUEST_INVALID', 'expected a body of type application/octet-stream');
        }
        const stored = await blobs.put(request.params.digest, body);
        return reply.status(201).send(stored);
      },
    );

    app.get(
      '/blobs/:digest',
      { config: { access: 'devices' }, schema: { summary: 'Download a blob, or a range of it', params } },
      async (request, reply) => {
        const { digest } = request.params;
        const size = await blobs.size(digest);
        if (size === null) throw new AiotError('AIOT_NOT_FOUND', `there is no blob ${digest}`);
        const etag = `"${digest}"`;
        reply.headers({ etag, 'accept-ranges': 'bytes', 'cache-control': 'private, immutable' });
        if (request.headers['if-none-match'] === etag) return reply.status(304).send();
        const stale = request.headers['if-range'] !== undefined && request.headers['if-range'] !== etag;
        const range = stale ? null : parseRange(request.headers.range, size);
        if (range === 'unsatisfiable') {
          return reply.status(416).header('content-range', `bytes */${size}`).send();
        }
        reply.type('application/octet-stream');
        if (range === null) return reply.header('content-length', size).send(blobs.stream(digest));
        return reply
          .status(206)
          .headers({
            'content-length': range.last - range.first + 1,
            'content-range': `bytes ${range.first}-${range.last}/${size}`,
          })
          .send(blobs.stream(digest, range));
      },
    );
  };
