import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { type AiotError, hasCode } from '../../../core/index.js';
import { statusOf, storageError } from '../../errors.js';
import { uploadPaths } from '../folders.js';
import { largestUpload } from '../staging.js';
import type { Uploads } from '../uploads.js';

/** Takes an upload that was asked for by one of the paths; anything else is not for it. */
export interface Receiver {
  receive(request: IncomingMessage, response: ServerResponse): void;
  close(): Promise<void>;
}

const text = 'text/plain; charset=utf-8';

/**
 * Multipart uploads, streamed to disk: the first part with a file name in the field `file`, as Go's Request.FormFile takes
 * it. 200 without a body once it is durable; what is no such form is answered with 400, where the guide's servers fell over.
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
    // That there is no room is no failure of the platform, and whoever asks could fill its log with it.
    if (status >= 500 && !hasCode(error, 'AIOT_GUIDE_FULL')) failed(error);
    if (!request.raw.complete) reply.header('connection', 'close');
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
  if (status === 507) return 'there is no space left for it';
  return status >= 500 ? 'internal server error' : 'expected a file in the field "file" of a multipart form';
}
