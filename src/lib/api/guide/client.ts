import type { Dispatcher } from 'undici';
import { AiotError, hasCode } from '../../core/errors.js';
import { errorOfTransport } from '../errors.js';
import { type GuideTrust, guideAgent } from './connect.js';
import { type GuideListing, listingIn } from './listing.js';

/** The ports of the guide's HTTP services: device registry, model registry, training datastore. */
const ownPorts = [30_006, 30_007, 30_008] as const;

/** A running installation of the guide's services: the original services, or `aiot up --compat architects-guide`. */
export interface GuideClient {
  /** Registers an id with the device registry. @throws AIOT_NOT_ALLOWED, AIOT_PLATFORM_UNREACHABLE, AIOT_PLATFORM_UNTRUSTED */
  provision(id: string): Promise<{ url: string }>;
  /** Whether the firmware of a device with this id may start working. */
  confirmed(id: string): Promise<boolean>;
  /** Uploads a quantized model under this name. */
  upload(name: string, bytes: Uint8Array): Promise<{ url: string }>;
  /** Downloads a file from `/quantized/`, up to 1 MiB. @throws AIOT_PLATFORM_FAILED, AIOT_PLATFORM_UNREACHABLE */
  download(name: string): Promise<Uint8Array>;
  /** The available quantized models, oldest first. */
  models(): Promise<GuideListing['files']>;
  /** Available training data: labeled rows, or unlabeled rows written by the ingest service. */
  listing(labelled: boolean): Promise<GuideListing>;
  /** Downloads a listed file, up to 256 MiB. @throws AIOT_PLATFORM_FAILED, AIOT_PLATFORM_UNREACHABLE */
  rows(url: string): Promise<Uint8Array>;
  close(): Promise<void>;
}

interface Ask {
  path: string;
  body: string | FormData;
  headers?: Record<string, string>;
}

/**
 * @param url URL of any of the three HTTP services, or of the host, if it uses the guide's own ports. The services are tried in turn,
 * because the guide's text and its manifests assign them to different ports. A service without the requested path responds with 404.
 */
export function createGuideClient({ url, ...trust }: GuideTrust & { url: string }): GuideClient {
  const places = placesOf(url);
  const agent = guideAgent(trust);
  const post = async (place: string, { path, body, headers = {} }: Ask) => {
    const { request } = await import('undici');
    const sent = typeof body === 'string' ? { body, headers } : await formBody(body);
    const answer = await request(`${place}${path}`, {
      ...{ method: 'POST', dispatcher: await agent, headersTimeout: 30_000, bodyTimeout: 30_000 },
      ...sent,
    });
    return { status: answer.statusCode, text: await answer.body.text() };
  };
  const ask = async (what: Ask): Promise<{ url: string; text: string }> => {
    let failure: AiotError | undefined;
    for (const place of places) {
      try {
        const { status, text } = await post(place, what);
        if (status === 200) return { url: `${place}${what.path}`, text };
        failure ??= refusal(place, what.path, status, text);
        if (status !== 404) throw refusal(place, what.path, status, text);
      } catch (error) {
        const told = errorOfTransport(error, place);
        if (hasCode(told, 'AIOT_PLATFORM_UNTRUSTED') || hasCode(told, 'AIOT_NOT_ALLOWED')) throw told;
        failure ??= told;
      }
    }
    throw failure ?? refusal(url, what.path, 404, '');
  };
  const got = async (url: string) => {
    const { request } = await import('undici');
    return request(url, { dispatcher: await agent, headersTimeout: 30_000, bodyTimeout: 30_000 });
  };
  /** Tries the services that may have the path, and returns the first result of `read` that is not null. */
  const first = async <T>(
    path: string,
    read: (url: string, answer: Answer) => Promise<T | null>,
  ): Promise<T> => {
    let failure: AiotError | undefined;
    for (const place of places) {
      try {
        const answer = await got(`${place}${path}`);
        if (answer.statusCode === 200) {
          const made = await read(`${place}${path}`, answer);
          if (made !== null) return made;
          continue;
        }
        await answer.body.dump();
        failure ??= refusal(place, path, answer.statusCode, '');
      } catch (error) {
        const told = errorOfTransport(error, place);
        if (hasCode(told, 'AIOT_PLATFORM_UNTRUSTED')) throw told;
        failure ??= told;
      }
    }
    throw failure ?? refusal(url, path, 404, '');
  };
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  const form = (id: string) => new URLSearchParams({ device_id: id }).toString();
  return {
    provision: async (id) => ({
      url: (await ask({ path: '/provisionDevice', body: form(id), headers })).url,
    }),
    confirmed: async (id) =>
      (await ask({ path: '/confirmActivation', body: form(id), headers })).text === 'TRUE',
    async upload(name, bytes) {
      const body = new FormData();
      body.set('file', new Blob([Uint8Array.from(bytes)], { type: 'application/octet-stream' }), name);
      return { url: (await ask({ path: '/uploadQuantizedModel', body })).url };
    },
    download: (name) =>
      first(`/quantized/${encodeURIComponent(name)}`, (_url, answer) => bounded(answer, mostModelBytes)),
    async models() {
      const { files } = await first('/quantized/', async (url, answer) => {
        const html = Buffer.from(await bounded(answer, mostListingBytes)).toString('utf8');
        return listingIn(url, html, '', 'tflite');
      });
      return files.sort((a, b) => (a.name < b.name ? -1 : 1));
    },
    async listing(labelled) {
      let empty: GuideListing | undefined;
      const path = labelled ? '/normalized_training_data/' : '/';
      // Each service returns content at its root, but only one of them lists data files there.
      const found = await first(path, async (url, answer) => {
        const html = Buffer.from(await bounded(answer, mostListingBytes)).toString('utf8');
        const listing = listingIn(url, html, String(answer.headers['last-modified'] ?? ''));
        if (listing.files.length > 0) return listing;
        empty ??= listing;
        return null;
      }).catch((error: unknown) => {
        if (empty) return empty;
        throw error;
      });
      return found;
    },
    async rows(url) {
      try {
        const answer = await got(url);
        if (answer.statusCode === 200) return await bounded(answer, mostRowsBytes);
        await answer.body.dump();
        throw refusal(new URL(url).origin, new URL(url).pathname, answer.statusCode, '');
      } catch (error) {
        throw errorOfTransport(error, new URL(url).origin);
      }
    },
    close: async () => (await agent).destroy(),
  };
}

const [mostModelBytes, mostListingBytes, mostRowsBytes] = [1024 ** 2, 64 * 1024 ** 2, 256 * 1024 ** 2];

type Answer = Pick<Dispatcher.ResponseData, 'body' | 'headers'>;

async function bounded({ body }: Answer, most: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > most) {
      throw new AiotError('AIOT_PLATFORM_FAILED', `expected a response of at most ${most} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Encodes a form as a whole, so that its length is known: the guide's servers do not accept chunked requests. */
async function formBody(form: FormData): Promise<{ body: Uint8Array; headers: Record<string, string> }> {
  const encoded = new Response(form);
  const type = encoded.headers.get('content-type') ?? '';
  return { body: new Uint8Array(await encoded.arrayBuffer()), headers: { 'content-type': type } };
}

function placesOf(url: string): string[] {
  const { hostname, port } = new URL(url);
  const at = (each: number) => `https://${hostname}:${each}`;
  if (port === '') return ownPorts.map(at);
  const first = Number(port);
  return [first, first + 1, first - 1, first + 2, first - 2]
    .filter((each) => each > 0 && each < 65_536)
    .map(at);
}

function refusal(place: string, path: string, status: number, text: string): AiotError {
  const said = text.trim().slice(0, 200);
  return new AiotError(
    status === 403 ? 'AIOT_NOT_ALLOWED' : 'AIOT_PLATFORM_FAILED',
    `${place}${path} responded with status ${status}${said === '' ? '' : `: ${said}`}`,
    { endpoint: place },
  );
}
