import { randomBytes } from 'node:crypto';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { httpAgent } from '../../core/http-agent.js';
import { formatDuration, systemClock } from '../../core/time.js';
import {
  encodeLogin,
  encodeLoginProof,
  encodeScanResultsRequest,
  encodeScanStart,
  encodeScanStatusRequest,
  encodeWifiApply,
  encodeWifiSettings,
  encodeWifiStatusRequest,
  ProtocommCipher,
  protocommNonceBytes,
  protocommStatus,
  readLogin,
  readLoginProof,
  readScanResults,
  readScanStatus,
  readWifiDone,
  readWifiProgress,
} from '../../formats/protocomm.js';
import { protocommGroup, SrpClient, sameProof } from '../../formats/srp.js';
import { checkWifi, type Wifi } from '../../provision/chip-options.js';
import { type Joined, type JoinOptions, wifiFor } from './improv.js';
import { type SeenNetwork, strongestFirst } from './improv-session.js';

interface OverSoftapOptions extends JoinOptions {
  /** The board in its own network, `http://host[:port]`. Absent = 192.168.4.1. */
  url?: string | undefined;
  /** User name (absent = wifiprov) and password of the board's provisioning service, not of a Wi-Fi network. */
  login: { user?: string | undefined; password: string | undefined };
}

const aboutSchema = z.object({
  prov: z.object({
    sec_ver: z.int().optional(),
    sec_patch_ver: z.int().optional(),
    cap: z.array(z.string()).default([]),
  }),
});

/** Maximum size of a board's reply, bytes. */
const replyBytes = 64 * 1024;
const replyMs = 15_000;
const pollMs = 1000;
/** Number of networks that are requested at a time. */
const scanPage = 4;

/**
 * Gives a board the name and password of a Wi-Fi network over the board's own network, by ESP-IDF's unified provisioning with security
 * scheme 2, and waits until it has joined. The password is encrypted; the login proves that both sides know the board's password, and
 * does not send it. Boards with another scheme are rejected.
 * @throws AIOT_SOFTAP_…, AIOT_WIFI_NOT_FOUND, AIOT_WIFI_REFUSED, AIOT_TIMEOUT, AIOT_USAGE
 */
export async function joinOverSoftap(options: OverSoftapOptions): Promise<Joined> {
  const { url = 'http://192.168.4.1', ssid, password = '', onStage, timeoutMs } = options;
  const { user = 'wifiprov', password: secret } = options.login;
  if (ssid !== undefined) checkWifi(ssid, password);
  if (secret === undefined)
    throw new AiotError('AIOT_USAGE', "the password of the board's provisioning service is required", {
      next: 'Add --board-password-file FILE, or set AIOT_BOARD_PASSWORD.',
    });
  if (!URL.canParse(url) || new URL(url).protocol !== 'http:')
    throw new AiotError('AIOT_USAGE', `expected a URL such as http://192.168.4.1, got ${url}`);
  const board = await openBoard(url, { user, password: secret }, options);
  try {
    onStage?.({ text: `waiting for the board at ${url}` });
    const began = performance.now();
    await board.login();
    const wifi = await wifiFor(options, () => board.scan());
    onStage?.({ text: `joining ${wifi.ssid}` });
    await board.configure(wifi);
    await board.join(wifi.ssid, timeoutMs);
    const seconds = Math.round(performance.now() - began) / 1000;
    const unknown = { device: null, chip: null, firmware: null, version: null };
    return { ...unknown, port: url, ssid: wifi.ssid, state: 'provisioned', url: null, seconds };
  } finally {
    await board.close();
  }
}

interface Board {
  login(): Promise<void>;
  scan(): Promise<SeenNetwork[]>;
  configure(wifi: Wifi): Promise<void>;
  join(ssid: string, timeoutMs: number): Promise<void>;
  close(): Promise<void>;
}

async function openBoard(
  url: string,
  { user, password }: { user: string; password: string },
  { signal, clock = systemClock }: OverSoftapOptions,
): Promise<Board> {
  const { request } = await import('undici');
  const agent = await httpAgent({
    headersTimeout: replyMs,
    bodyTimeout: replyMs,
    connect: { timeout: replyMs },
  });
  let cookie: string | undefined;
  let cipher: ProtocommCipher | null = null;
  const post = async (endpoint: string, body: Uint8Array | string) => {
    const headers: Record<string, string> = {
      'content-type': 'application/x-www-form-urlencoded',
      ...(cookie === undefined ? {} : { cookie }),
    };
    try {
      const reply = await request(new URL(`/${endpoint}`, url), {
        ...{ method: 'POST', headers, body: Buffer.from(body), dispatcher: agent, signal },
      });
      const set = [reply.headers['set-cookie'] ?? []].flat()[0];
      if (set !== undefined) cookie = set.split(';')[0];
      return { status: reply.statusCode, content: await readReply(reply.body) };
    } catch (cause) {
      signal.throwIfAborted();
      if (cause instanceof AiotError) throw cause;
      throw new AiotError('AIOT_SOFTAP_UNREACHABLE', `${url}: the board does not respond`, {
        ...{ cause, endpoint: url, retryable: true },
      });
    }
  };
  const readReply = async (body: AsyncIterable<Buffer>) => {
    const chunks: Buffer[] = [];
    let total = 0;
    for await (const chunk of body) {
      total += chunk.length;
      if (total > replyBytes) throw malformed(`it has more than ${replyBytes} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  };
  const malformed = (why: string) =>
    new AiotError('AIOT_SOFTAP_MALFORMED', `${url}: invalid reply: ${why}`, { endpoint: url });
  /** Reads a reply. A reply of another kind, or a corrupted one, is an error. */
  const parse = <T>(what: string, read: () => T | null): T => {
    try {
      const value = read();
      if (value !== null) return value;
    } catch (cause) {
      if (!(cause instanceof RangeError)) throw cause;
      throw malformed(`${what}: ${cause.message}`);
    }
    throw malformed(what);
  };
  const send = async (endpoint: string, plain: Uint8Array) => {
    if (cipher === null) throw malformed('the session was not established');
    const { status, content } = await post(endpoint, cipher.encrypt(plain));
    if (status !== 200) throw malformed(`status ${status} from ${endpoint}`);
    const session = cipher;
    return parse(endpoint, () => session.decrypt(content));
  };
  /**
   * Returns an error if the board is unreachable, because it may come back. The board's message counter does not include lost messages, so
   * a new session is needed.
   */
  const joinProgress = async () => {
    try {
      if (cipher === null) await login();
      const reply = await send('prov-config', encodeWifiStatusRequest());
      return parse('the status', () => readWifiProgress(reply));
    } catch (error) {
      if (error instanceof AiotError && error.code === 'AIOT_SOFTAP_UNREACHABLE') {
        cipher = null;
        cookie = undefined;
        return error;
      }
      throw error;
    }
  };
  const about = async () => {
    const { status, content } = await post('proto-ver', 'aiot');
    const read = z.string().transform(parseJson).pipe(aboutSchema).safeParse(content.toString());
    if (status !== 200 || !read.success) throw malformed('it does not come from a provisioning service');
    return read.data.prov;
  };
  const login = async () => {
    const { sec_ver: scheme, sec_patch_ver: patch = 0 } = await about();
    if (scheme !== 2)
      throw new AiotError(
        'AIOT_SOFTAP_INSECURE',
        `${url}: the board supports security scheme ${scheme ?? 'unknown'}, not 2`,
      );
    const client = new SrpClient(protocommGroup, user, password, (count) => randomBytes(count));
    const first = await post('prov-session', encodeLogin(user, client.publicKey));
    if (first.status !== 200) throw malformed(`the login failed with status ${first.status}`);
    const reply = parse('the login', () => readLogin(first.content));
    if (reply.status !== 0) throw malformed(`the login: ${protocommStatus(reply.status)}`);
    const session = client.session(reply.salt, reply.serverKey);
    if (session === null) throw malformed("the board's public key is not safe");
    const second = await post('prov-session', encodeLoginProof(session.clientProof));
    const proven = second.status === 200 ? parse('the proof', () => readLoginProof(second.content)) : null;
    if (proven?.status !== 0)
      throw new AiotError('AIOT_SOFTAP_REFUSED', `${url}: the board rejected the login of ${user}`);
    // A board cannot compute this value without the password.
    if (!sameProof(proven.proof, session.serverProof) || proven.nonce.length !== protocommNonceBytes)
      throw malformed('the board did not prove that it knows the password');
    cipher = new ProtocommCipher(session.key, proven.nonce, patch >= 1);
  };
  return {
    login,
    async scan() {
      await send('prov-scan', encodeScanStart());
      let status = { over: false, count: 0 };
      for (const until = clock.now() + replyMs; !status.over && clock.now() < until; ) {
        const reply = await send('prov-scan', encodeScanStatusRequest());
        status = parse('the scan', () => readScanStatus(reply));
        if (!status.over) await clock.sleep(pollMs, signal);
      }
      const found: SeenNetwork[] = [];
      for (let from = 0; from < status.count; from += scanPage) {
        const reply = await send(
          'prov-scan',
          encodeScanResultsRequest(from, Math.min(scanPage, status.count - from)),
        );
        found.push(...parse('the networks', () => readScanResults(reply)));
      }
      return strongestFirst(found.filter(({ ssid }) => ssid !== ''));
    },
    async configure({ ssid, password }) {
      for (const [request, content] of [
        ['set', encodeWifiSettings(ssid, password)],
        ['apply', encodeWifiApply()],
      ] as const) {
        const reply = await send('prov-config', content);
        const status = parse('the settings', () => readWifiDone(reply, request));
        if (status !== 0) throw malformed(`the settings: ${protocommStatus(status)}`);
      }
    },
    async join(ssid, timeoutMs) {
      let lost: AiotError | null = null;
      for (const until = clock.now() + timeoutMs; clock.now() < until; await clock.sleep(pollMs, signal)) {
        const progress = await joinProgress();
        // The board's own network moves to the channel of the new one, so computers lose it for some seconds.
        lost = progress instanceof AiotError ? progress : null;
        if (progress instanceof AiotError) continue;
        if (progress.state === 'connected') return;
        if (progress.state === 'failed')
          throw progress.reason === 'not-found'
            ? new AiotError('AIOT_WIFI_NOT_FOUND', `the board does not see the network ${ssid}`)
            : new AiotError('AIOT_WIFI_REFUSED', `the board could not join ${ssid}`);
      }
      if (lost)
        throw lost.reworded(
          `${url}: the board received the settings for ${ssid}, and then stopped responding`,
          {
            next: "Run `aiot device list`: the board may have joined. If it has not, join the board's own network again and repeat the command.",
          },
        );
      throw new AiotError(
        'AIOT_TIMEOUT',
        `the board had not joined ${ssid} after ${formatDuration(timeoutMs)}`,
        {
          next: 'Move the board closer to the access point, or allow more time with --timeout.',
        },
      );
    },
    close: () => agent.destroy(),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
