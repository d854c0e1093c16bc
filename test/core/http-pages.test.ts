import { describe, expect, it } from 'vitest';
import { ListenFailure, servePages } from '../../src/lib/core/http-pages.js';

const pages = (at: { host: string; port: number }) =>
  servePages(at, ({ method, path }) =>
    path === '/healthz'
      ? { type: 'text/plain', body: `${method} ok\n` }
      : { status: 404, type: 'text/plain', body: `there is no ${path}\n` },
  );

describe('probe pages', () => {
  it('are generated for each request by method and path, and are never cached', async () => {
    const { port, close } = await pages({ host: '127.0.0.1', port: 0 });
    try {
      const found = await fetch(`http://127.0.0.1:${port}/healthz?verbose`);
      expect([found.status, await found.text()]).toEqual([200, 'GET ok\n']);
      expect(Object.fromEntries(found.headers)).toMatchObject({
        'content-type': 'text/plain',
        'content-length': '7',
        'cache-control': 'no-store',
      });
      const head = await fetch(`http://127.0.0.1:${port}/healthz`, { method: 'HEAD' });
      expect([head.headers.get('content-length'), await head.text()]).toEqual(['8', '']);
      const missing = await fetch(`http://127.0.0.1:${port}/nothing`);
      expect([missing.status, await missing.text()]).toEqual([404, 'there is no /nothing\n']);
    } finally {
      await close();
    }
  });

  it('fail with the reason if the port is unavailable', async () => {
    const { port, close } = await pages({ host: '127.0.0.1', port: 0 });
    const second = pages({ host: '127.0.0.1', port });
    await expect(second).rejects.toBeInstanceOf(ListenFailure);
    await expect(second).rejects.toMatchObject({ code: 'EADDRINUSE' });
    await close();
  });
});
