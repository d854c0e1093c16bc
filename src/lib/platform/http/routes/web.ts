import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress, gzip } from 'node:zlib';
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';
import { AiotError } from '../../../core/errors.js';
import { packageRoot } from '../../../core/folders.js';

const types: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
};

/** Content Security Policy: only our own scripts, styles and images are loaded, and no page may frame the dashboard. */
const policy = [
  "default-src 'none'",
  ...["script-src 'self'", "style-src 'self'", "img-src 'self' data: blob:", "connect-src 'self'"],
  ...["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"],
].join('; ');

interface Asset {
  type: string;
  plain: Buffer;
  br: Buffer;
  gzip: Buffer;
}

/** The dashboard's files: the page at /, and the assets it loads. They are the same for everyone and contain no data. */
export const webRoutes: FastifyPluginAsync = async (app) => {
  const folder = join(packageRoot(), 'dist', 'web');
  const assets = new Map<string, Promise<Asset>>();
  const names = new Set(existsSync(folder) ? await readdir(join(folder, 'assets')) : []);
  const asset = (name: string) => {
    const found = assets.get(name) ?? readAsset(join(folder, name));
    assets.set(name, found);
    return found;
  };

  const config = { access: 'everybody' } as const;
  const hidden = { hide: true };
  app.get('/', { config, schema: hidden }, async (request, reply) => {
    reply.header('content-security-policy', policy).header('cache-control', 'no-cache');
    return send(await asset('index.html'), request, reply);
  });
  app.get<{ Params: { name: string } }>(
    '/assets/:name',
    { config, schema: hidden },
    async (request, reply) => {
      const { name } = request.params;
      if (!names.has(name))
        throw new AiotError('AIOT_NOT_FOUND', `the dashboard has no file ${name.slice(0, 80)}`);
      // The name contains the digest of the content.
      reply.header('cache-control', 'public, max-age=31536000, immutable');
      return send(await asset(join('assets', name)), request, reply);
    },
  );
};

/** Reads and compresses a file; called only for the first request. */
async function readAsset(path: string): Promise<Asset> {
  const plain = await readFile(path);
  const [br, zipped] = await Promise.all([promisify(brotliCompress)(plain), promisify(gzip)(plain)]);
  return { type: types[extname(path)] ?? 'application/octet-stream', plain, br, gzip: zipped };
}

function send(asset: Asset, { headers }: FastifyRequest, reply: FastifyReply): FastifyReply {
  const taken = String(headers['accept-encoding'] ?? '')
    .split(',')
    .map((part) => part.trim().split(';')[0]);
  const coding = (['br', 'gzip'] as const).find((one) => taken.includes(one));
  reply.type(asset.type).header('vary', 'accept-encoding');
  if (coding === undefined) return reply.send(asset.plain);
  return reply.header('content-encoding', coding).send(asset[coding]);
}
