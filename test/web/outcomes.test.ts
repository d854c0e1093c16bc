import { afterEach, expect, it, vi } from 'vitest';
import { ApiError, at, download } from '../../web/app/api.js';
import { addressesOf, isOnlyHere } from '../../web/pages/add/addresses.js';
import { outcomeOf } from '../../web/pages/fleet/outcome.js';

afterEach(() => {
  vi.unstubAllGlobals();
});

it('the log level of a device is unknown after a timeout or a lost connection, and unchanged after a rejection', () => {
  const outcomes = [
    ['AIOT_COMMAND_UNANSWERED', 504],
    ['AIOT_COMMAND_REPLY', 502],
    ['AIOT_PLATFORM_UNREACHABLE', 0],
    ['AIOT_PLATFORM_FAILED', 502],
    ['AIOT_COMMAND_FAILED', 502],
    ['AIOT_DEVICE_OFFLINE', 409],
    ['AIOT_COMMAND_UNKNOWN', 404],
    ['AIOT_NOT_ALLOWED', 403],
  ].map(([code, status]) => outcomeOf(new ApiError(String(code), '', undefined, Number(status))));
  expect(outcomes).toEqual([...Array(4).fill('unknown'), ...Array(4).fill('unchanged')]);
  expect(outcomeOf(null)).toBe('set');
});

it('a claim offers the address of the page only if a device might reach it instead', () => {
  const of = (url: string, page: string) => addressesOf(url, new URL(page));
  const pod = 'https://10.42.0.7:8443';
  expect(of(pod, 'https://fleet.example.com/')).toEqual([pod, 'https://fleet.example.com']);
  expect(of(pod, `${pod}/`)).toEqual([pod]);
  expect(of(pod, 'http://fleet.example.com/')).toEqual([pod]);
  expect(of('https://127.0.0.1:8443', 'https://localhost:8443/')).toEqual(['https://127.0.0.1:8443']);
  const hosts = ['127.0.0.1', '127.1.2.3', 'localhost', '[::1]', '10.42.0.7', '127.example.com'];
  expect(hosts.map((host) => isOnlyHere(`https://${host}:8443`))).toEqual([
    ...[true, true, true, true, false, false],
  ]);
});

it('a download that is too large is described by a readable size', async () => {
  vi.stubGlobal('fetch', async () => new Response(new Uint8Array(2000)));
  const request = download(at('POST /backups', {}), undefined as never, {
    signal: new AbortController().signal,
    onBytes: () => {},
    mostBytes: 1536,
  });
  await expect(request).rejects.toThrow('The file is larger than 1.5 KiB, the most that this page saves.');
});
